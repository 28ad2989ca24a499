"""Finds, checks and mends JSON in a model's reply, as the original's `expect_json` did."""

from __future__ import annotations

import re
from dataclasses import dataclass

import orjson

_FENCE = re.compile(r"```(?:json)?\s*\n?(.*?)```", re.DOTALL | re.IGNORECASE)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_STRING_OR_COMMA = re.compile(r'("(?:[^"\\]|\\.)*")|,(\s*[}\]])')
_BRACKET = re.compile(r"[{}\[\]]")
_CLOSER = {"{": "}", "[": "]"}
MAX_MISSING = 64
"""Closers a repair appends at most."""


@dataclass(frozen=True, slots=True)
class JsonAnswer:
    """Either `text` is compact valid JSON, or `reason` says why there is none."""

    text: str = ""
    reason: str = ""
    repaired: bool = False


def find_json(reply: str, *, repair: bool) -> JsonAnswer:
    """The JSON in a reply, mended when that is allowed and helps."""
    candidate = extract(reply)
    found = _parse(candidate)
    if found.reason and repair:
        mended = _parse(mend(candidate))
        if not mended.reason:
            return JsonAnswer(mended.text, repaired=True)
    return found


def extract(reply: str) -> str:
    """The fenced block if there is one, else from the first opener to the last closer."""
    if fence := _FENCE.search(reply):
        return fence.group(1).strip()
    starts = [reply.find(opener) for opener in "{[" if opener in reply]
    if not starts:
        return reply.strip()
    start = min(starts)
    end = reply.rfind("}" if reply[start] == "{" else "]")
    return reply[start : end + 1] if end > start else reply[start:].strip()


def mend(text: str) -> str:
    """Strip trailing commas and append the closers that are missing. Strings stay as they are."""
    closed = text.rstrip().removesuffix(",") + _missing_closers(text)
    return _STRING_OR_COMMA.sub(lambda match: match.group(1) or match.group(2), closed)


def _missing_closers(text: str) -> str:
    opened: list[str] = []
    for match in _BRACKET.finditer(_STRING.sub("", text)):
        if match.group() in _CLOSER:
            opened.append(_CLOSER[match.group()])
        elif opened and opened[-1] == match.group():
            opened.pop()
    return "".join(reversed(opened)) if len(opened) <= MAX_MISSING else ""


def _parse(text: str) -> JsonAnswer:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        return JsonAnswer(reason=str(error)[:200])
    return JsonAnswer(orjson.dumps(value).decode())
