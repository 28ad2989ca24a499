"""What a job asks of the demo engine, checked once. Imports no NumPy: it runs in the daemon."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mesh.errors import ContextTooLong, InvalidRequest, NotSupported
from mesh.jobs import MAX_CHOICES, MAX_STOP_SEQUENCES, Emitted, JobSpec, Kind
from services.engines.demo.chat_template import Speaker, Turn

DEFAULT_TEMPERATURE = 0.7
"""Lively stories, and still the right sums."""
MAX_LOGPROBS = 20
"""As many alternatives as OpenAI gives."""
MAX_STOP_LENGTH = 256
"""Characters of one stop sequence; the text held back for it is as long."""
MAX_PROMPT_CHARACTERS = 64 * 1024
"""Far more than fits the context; spares the tokenizer from what would be refused anyway."""
MAX_BIASES = 1024
LARGEST = 2**31
"""No token id, count or limit of use is larger."""

_SPEAKERS: dict[str, Speaker] = {
    "system": "system", "developer": "system", "user": "user", "assistant": "assistant",
}  # fmt: skip
_FEATURE_NAMES = {
    "tools": "tools",
    "vision": "images or other content than text",
    "json": "response_format",
}
_UNUSED_VALUES: dict[str, tuple[object, ...]] = {
    "echo": (None, False),
    "suffix": (None, ""),
    "tools": (None, []),
    "functions": (None, []),
    "response_format": (None, {"type": "text"}),
    "modalities": (None, ["text"]),
    "audio": (None,),
}
"""Fields the engine cannot honour, with the values that ask for nothing."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How an answer is drawn. Every field has a value here."""

    seed: int
    max_tokens: int | None = None
    temperature: float = DEFAULT_TEMPERATURE
    top_p: float = 1.0
    top_k: int = 0
    """0: all."""
    stop: tuple[str, ...] = ()
    choices: int = 1
    logprobs: int | None = None
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    bias: tuple[tuple[int, float], ...] = ()
    """Token ids and what is added to their logits."""


@dataclass(frozen=True, slots=True)
class Request:
    """A job in the engine's own words."""

    kind: Kind
    settings: Settings
    turns: tuple[Turn, ...] = ()
    prompt: str | tuple[int, ...] = ""
    resume: tuple[Emitted, ...] = ()
    """What was given out already, by this engine or another; one per choice, or none."""
    stream: bool = True


def read_request(job: JobSpec, seed: int) -> Request:
    """Check a job; `seed` is used when it brings none. Raises InvalidRequest and its kin."""
    _refuse_unsupported(job)
    settings = _read_settings(job, seed)
    resume = _read_resume(job.resume, settings.choices)
    turns = _read_turns(job.messages) if job.kind == "chat" else ()
    prompt = _read_prompt(job.prompt) if job.kind == "completion" else ""
    return Request(job.kind, settings, turns, prompt, resume, job.stream)


def _refuse_unsupported(job: JobSpec) -> None:
    for feature in job.needs:
        if feature in _FEATURE_NAMES:
            raise _not_supported(_FEATURE_NAMES[feature], feature)
    for name, unused in _UNUSED_VALUES.items():
        if job.extra.get(name) not in unused:
            raise _not_supported(name, name)
    if (job.extra.get("best_of") or 1) not in (1, job.sampling.n):
        raise _not_supported("best_of", "best_of")


def _not_supported(what: str, param: str) -> NotSupported:
    return NotSupported(f"the demo model does not support {what}", param=param)


def _read_settings(job: JobSpec, seed: int) -> Settings:
    asked = job.sampling
    if asked.max_tokens is not None and asked.max_tokens < 0:
        raise InvalidRequest("max_tokens must not be negative", param="max_tokens")
    if any(not text or len(text) > MAX_STOP_LENGTH for text in asked.stop):
        raise InvalidRequest(f"a stop sequence has 1 to {MAX_STOP_LENGTH} characters", param="stop")
    if len(asked.stop) > MAX_STOP_SEQUENCES:
        raise InvalidRequest(f"at most {MAX_STOP_SEQUENCES} stop sequences", param="stop")
    return Settings(
        seed=(seed if asked.seed is None else asked.seed) % 2**64,
        max_tokens=None if asked.max_tokens is None else min(asked.max_tokens, LARGEST),
        temperature=_within("temperature", asked.temperature, DEFAULT_TEMPERATURE, 0.0, 100.0),
        top_p=_within("top_p", asked.top_p, 1.0, 0.0, 1.0),
        top_k=min(max(0, asked.top_k or 0), LARGEST),
        stop=asked.stop,
        choices=int(_within("n", asked.n, 1, 1, MAX_CHOICES)),
        logprobs=_read_logprobs(asked.logprobs),
        frequency_penalty=_penalty(job, "frequency_penalty"),
        presence_penalty=_penalty(job, "presence_penalty"),
        bias=_read_bias(job.extra.get("logit_bias") or {}),
    )


def _within(name: str, value: object, default: float, low: float, high: float) -> float:
    """A number in [low, high], or the default for None."""
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidRequest(f"{name} must be from {low:g} to {high:g}", param=name)
    return value


def _read_logprobs(value: int | None) -> int | None:
    return None if value is None else int(_within("logprobs", value, 0, 0, MAX_LOGPROBS))


def _penalty(job: JobSpec, name: str) -> float:
    return _within(name, job.extra.get(name), 0.0, -2.0, 2.0)


def _read_bias(value: object) -> tuple[tuple[int, float], ...]:
    if not isinstance(value, Mapping) or len(value) > MAX_BIASES:
        raise InvalidRequest("logit_bias maps token ids to numbers", param="logit_bias")
    try:
        pairs = tuple((int(token), float(bias)) for token, bias in value.items())
    except (TypeError, ValueError, OverflowError):
        raise InvalidRequest("logit_bias maps token ids to numbers", param="logit_bias") from None
    if not all(math.isfinite(bias) and 0 <= token < LARGEST for token, bias in pairs):
        raise InvalidRequest("logit_bias holds a number out of range", param="logit_bias")
    return pairs


def _read_turns(messages: tuple[Mapping[str, Any], ...]) -> tuple[Turn, ...]:
    if not messages:
        raise InvalidRequest("messages must hold at least one message", param="messages")
    turns = tuple(_read_turn(message) for message in messages)
    _check_length(sum(len(text) for _, text in turns), "messages")
    return turns


def _read_turn(message: Mapping[str, Any]) -> Turn:
    role = message.get("role")
    if role in ("tool", "function") or message.get("tool_calls"):
        raise _not_supported("tools", "messages")
    if role not in _SPEAKERS:
        raise InvalidRequest(f"{str(role)[:40]!r} is not a role", param="messages")
    return _SPEAKERS[str(role)], _read_content(message.get("content"))


def _read_content(content: object) -> str:
    """Text of a message: a string, nothing, or a list of text parts."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list | tuple):
        raise InvalidRequest("content must be text or a list of parts", param="messages")
    return "".join(_read_part(part) for part in content)


def _read_part(part: object) -> str:
    text = part.get("text") if isinstance(part, Mapping) else None
    if isinstance(part, Mapping) and part.get("type") not in ("text", "input_text", None):
        raise _not_supported(_FEATURE_NAMES["vision"], "messages")
    if not isinstance(text, str):
        raise InvalidRequest("a content part of type text needs a text", param="messages")
    return text


def _read_prompt(prompt: object) -> str | tuple[int, ...]:
    if isinstance(prompt, str):
        _check_length(len(prompt), "prompt")
        return prompt
    ids = _read_ids(prompt, "prompt")
    if not ids:
        raise InvalidRequest("prompt must hold at least one token id", param="prompt")
    return ids


def _read_resume(resume: tuple[Emitted, ...], choices: int) -> tuple[Emitted, ...]:
    if resume and len(resume) != choices:
        raise InvalidRequest("resume holds one entry for each choice", param="resume")
    for emitted in resume:
        _check_length(len(emitted.text), "resume")
        _read_ids(emitted.token_ids or (), "resume")
    return resume


def _read_ids(value: object, param: str) -> tuple[int, ...]:
    if not isinstance(value, list | tuple):
        raise InvalidRequest(f"{param} must be a list of token ids", param=param)
    _check_length(len(value), param)
    if not all(type(token) is int and 0 <= token < LARGEST for token in value):
        raise InvalidRequest(f"{param} must hold token ids", param=param)
    return tuple(value)


def _check_length(length: int, param: str) -> None:
    if length > MAX_PROMPT_CHARACTERS:
        raise ContextTooLong(
            f"{param}: {length} is far more than fits the demo model's context", param=param
        )
