"""Gathers a job's chunks into whole choices, for answers that are sent in one piece."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from mesh.errors import JobFailed
from mesh.jobs import Chunk, Finish
from node.gateway.limits import MAX_ANSWER, MAX_TOOL_CALLS

_CONCATENATED = frozenset({"content", "reasoning_content", "reasoning", "refusal"})
MAX_LOGPROBS = 1_000_000
"""Tokens of one choice whose log probabilities are kept."""


class Choice:
    """One choice under construction. Text is kept in pieces, so that adding one costs no copy."""

    def __init__(self) -> None:
        self._pieces: dict[str, list[str]] = {}
        self._calls: dict[int, ToolCall] = {}
        self._other: dict[str, Any] = {}
        self.logprobs: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._pieces.get("content", ()))

    def add(self, chunk: Chunk) -> None:
        """Append one chunk. Raises JobFailed when it makes no sense."""
        if chunk.text:
            self._pieces.setdefault("content", []).append(chunk.text)
        if chunk.delta:
            self._merge(chunk.delta)
        if chunk.logprobs:
            self._append_logprobs(chunk.logprobs)

    def message(self) -> dict[str, Any]:
        """The assistant message in OpenAI's shape."""
        texts = {name: "".join(pieces) for name, pieces in self._pieces.items()}
        message: dict[str, Any] = {"role": "assistant", "content": "", **self._other, **texts}
        if self._calls:
            message["content"] = message["content"] or None
            message["tool_calls"] = [self._calls[index].whole() for index in sorted(self._calls)]
        return message

    def _merge(self, delta: Mapping[str, Any]) -> None:
        for name, value in delta.items():
            if name == "tool_calls" and isinstance(value, list):
                for position, fragment in enumerate(value):
                    self._merge_call(position, fragment)
            elif name in _CONCATENATED and isinstance(value, str):
                self._pieces.setdefault(name, []).append(value)
            elif value is not None:
                self._other[name] = value

    def _merge_call(self, position: int, fragment: Any) -> None:
        if not isinstance(fragment, dict):
            raise JobFailed("the worker sent a malformed tool call")
        index = fragment.get("index", position)
        if not isinstance(index, int) or not 0 <= index < MAX_TOOL_CALLS:
            raise JobFailed("the worker sent a malformed tool call")
        self._calls.setdefault(index, ToolCall()).add(fragment)

    def _append_logprobs(self, logprobs: Mapping[str, Any]) -> None:
        if self.logprobs is None:
            self.logprobs = {}
        for name, values in logprobs.items():
            if isinstance(values, list):
                known = self.logprobs.setdefault(name, [])
                known.extend(values)
                if len(known) > MAX_LOGPROBS:
                    raise JobFailed("the worker sent more log probabilities than can be kept")


class ToolCall:
    """One tool call under construction: id and name come first, then argument text."""

    def __init__(self) -> None:
        self._fields: dict[str, Any] = {}
        self._function: dict[str, Any] = {}
        self._arguments: list[str] = []

    def add(self, fragment: Mapping[str, Any]) -> None:
        """Append one fragment of `delta.tool_calls`."""
        for name, value in fragment.items():
            if name == "function" and isinstance(value, dict):
                self._add_function(value)
            elif name != "index" and value is not None:
                self._fields[name] = value

    def whole(self) -> dict[str, Any]:
        """The call as it stands in a complete message."""
        function = {**self._function, "arguments": "".join(self._arguments)}
        return {**self._fields, "function": function}

    def _add_function(self, fragment: Mapping[str, Any]) -> None:
        for name, value in fragment.items():
            if name == "arguments" and isinstance(value, str):
                self._arguments.append(value)
            elif value is not None:
                self._function[name] = value


class Collected:
    """All choices of one job, then its Finish."""

    def __init__(self, choices: int, *, logprobs: bool = False) -> None:
        """`logprobs`: whether the client asked for them; otherwise they are dropped."""
        self._wants_logprobs = logprobs
        self._choices = [Choice() for _ in range(choices)]
        self._size = 0
        self.finish = Finish()

    @property
    def text(self) -> str:
        """The first choice's text."""
        return self._choices[0].text

    def add(self, chunk: Chunk) -> None:
        """Append one chunk. Raises JobFailed when it is for no choice, or far too much."""
        if not 0 <= chunk.index < len(self._choices):
            raise JobFailed("the worker answered a choice that was not asked for")
        if chunk.logprobs and not self._wants_logprobs:
            chunk = replace(chunk, logprobs=None)
        self._size += _size_of(chunk)
        if self._size > MAX_ANSWER:
            raise JobFailed(f"the answer is longer than {MAX_ANSWER} characters; ask for a stream")
        self._choices[chunk.index].add(chunk)

    def ended(self) -> Iterator[tuple[Choice, str]]:
        """Each choice with the reason it ended; a reason left out counts as "stop"."""
        reasons = self.finish.reasons
        for index, choice in enumerate(self._choices):
            yield choice, reasons[index] if index < len(reasons) else "stop"


def _size_of(chunk: Chunk) -> int:
    """Characters of everything that is kept of a chunk."""
    extras = (extra for extra in (chunk.delta, chunk.logprobs) if extra)
    return len(chunk.text) + sum(len(str(extra)) for extra in extras)
