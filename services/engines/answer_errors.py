"""What an engine's refusal means for the job: wrong everywhere, or only here and now."""

from __future__ import annotations

import re
from typing import Any

import orjson

from mesh.errors import (
    ContextTooLong,
    ElectronsError,
    EngineError,
    InvalidRequest,
    NotSupported,
)

MAX_MESSAGE = 300
"""Characters of an engine's own words that are passed on."""
MAX_REFUSAL = 64 * 1024
"""Bytes of an error answer that are read."""

_CONTEXT = re.compile(
    r"context[ _](length|size|window)|maximum context|max_model_len|prompt is too long"
    r"|exceed_context_size|too many tokens|input length .{0,40} exceeds",
    re.IGNORECASE,
)
_UNSUPPORTED = re.compile(
    r"does not support|not support(ed)? |is not a multimodal|requires? --enable-auto-tool-choice"
    r"|requires? --jinja",
    re.IGNORECASE,
)


def refusal(status: int, body: bytes, origin: str) -> ElectronsError:
    """The error that an HTTP answer other than 200 stands for."""
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError:
        payload = None
    return refusal_of(status, payload, origin)


def refusal_of(status: int, payload: Any, origin: str) -> ElectronsError:
    """As `refusal`, with the JSON already read. Statuses: RFC 9110 section 15."""
    message, code = message_of(payload)
    if status in (400, 413, 422, 501):
        return _invalid(message, code)
    if status in (401, 403):
        return EngineError(f"{origin} refuses the API key it was given")
    if status in (408, 429, 503):
        return EngineError(f"{origin} is busy: {message or status}")
    if status in (500, 502) and _UNSUPPORTED.search(message):
        return NotSupported(message)  # llama.cpp answers 500 to images without a projector
    return EngineError(f"{origin} answered {status}: {message or 'no reason given'}")


def _invalid(message: str, code: str) -> InvalidRequest:
    words = message or "the engine refused the request without a reason"
    if code in ("context_length_exceeded", "exceed_context_size_error") or _CONTEXT.search(words):
        return ContextTooLong(words)
    if _UNSUPPORTED.search(words):
        return NotSupported(words)
    return InvalidRequest(words)


def message_of(payload: Any) -> tuple[str, str]:
    """(message, machine-readable code or type) of the error shapes engines use.

    OpenAI and llama.cpp: {"error": {"message", "type", "code"}}; Ollama: {"error": "..."}; old
    vLLM: {"message", "code"}; FastAPI validation: {"detail": ...}.
    """
    if not isinstance(payload, dict):
        return "", ""
    found = payload.get("error", payload)
    if isinstance(found, str):
        return tidy(found), ""
    if not isinstance(found, dict):
        return "", ""
    message = found.get("message") or found.get("detail") or ""
    code = found.get("code")
    if not isinstance(code, str):
        code = found.get("type")
    return tidy(message if isinstance(message, str) else str(message)), str(code or "")


def tidy(words: str) -> str:
    """One bounded line of printable text."""
    shown = "".join(letter if letter.isprintable() else " " for letter in words[: MAX_MESSAGE * 2])
    shown = " ".join(shown.split())
    return shown if len(shown) <= MAX_MESSAGE else shown[: MAX_MESSAGE - 1] + "…"
