"""Reads a streamed chat answer: lines of server-sent events in, what they mean out. Pure.

Source: OpenAI API reference, "Streaming events", and our own comments (node/gateway/sse.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """The job waits; `position` jobs are before it."""

    position: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The answer is complete. `reason` is why: stop, length, ..."""

    reason: str


@dataclass(frozen=True, slots=True)
class Counted:
    """Tokens of the question and of the answer."""

    prompt: int
    completion: int


@dataclass(frozen=True, slots=True)
class Broken:
    """The node gave up in the middle of the answer."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Resumed:
    """The node that answered was lost, and another goes on."""


Event = Resumed | Text | Waiting | Ended | Counted | Broken

_RESUMED = re.compile(r":\s*resumed\b")
_QUEUED = re.compile(r":\s*queued position=(\d{1,9})")


def read_events(lines: Iterable[str]) -> Iterator[Event]:
    """Events until `[DONE]`. A stream that ends without it yields Broken."""
    for line in lines:
        if line.startswith(":"):
            if match := _QUEUED.match(line):
                yield Waiting(int(match[1]))
            elif _RESUMED.match(line):
                yield Resumed()
        elif line.startswith("data:"):
            payload = line[5:].strip()
            if payload == "[DONE]":
                return
            broken = False
            for event in _read_payload(payload):
                broken = isinstance(event, Broken)
                yield event
            if broken:
                return
    yield Broken("stream_ended", "the connection ended before the answer was complete")


def _read_payload(payload: str) -> Iterator[Event]:
    try:
        value = json.loads(payload)
    except ValueError:
        yield Broken("bad_stream", "the node sent a line that is not JSON")
        return
    if not isinstance(value, dict):
        return
    if isinstance(error := value.get("error"), dict):
        yield Broken(str(error.get("code") or ""), str(error.get("message") or "unknown error"))
        return
    yield from _read_choices(value.get("choices"))
    if isinstance(usage := value.get("usage"), dict):
        yield Counted(_count(usage, "prompt_tokens"), _count(usage, "completion_tokens"))


def _read_choices(choices: Any) -> Iterator[Event]:
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return
    delta = choices[0].get("delta")
    if isinstance(delta, dict) and isinstance(text := delta.get("content"), str) and text:
        yield Text(text)
    if isinstance(reason := choices[0].get("finish_reason"), str):
        yield Ended(reason)


def _count(usage: dict[str, Any], name: str) -> int:
    count = usage.get(name)
    return count if isinstance(count, int) else 0
