"""Fewer, longer chunks of answers that nobody watches growing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mesh.jobs import Chunk

PIECE_CHUNKS = 8
"""Chunks, mostly of one token each, that are joined to one. A worker that is lost wastes the piece
it was filling, so this stays well below the 32 tokens that a loss may cost."""


class Pieces:
    """Joins chunks of each choice; what carries a delta other than text is passed on as it is."""

    def __init__(self, size: int = PIECE_CHUNKS) -> None:
        self._size = size
        self._held: dict[int, Chunk] = {}
        self._counts: dict[int, int] = {}

    def push(self, chunk: Chunk) -> list[Chunk]:
        """Take a chunk; return what is now due."""
        index = chunk.index
        if chunk.delta is not None:
            return [*self._release(index), chunk]
        held = self._held.get(index)
        self._held[index] = chunk if held is None else join(held, chunk)
        self._counts[index] = self._counts.get(index, 0) + 1
        return self._release(index) if self._counts[index] >= self._size else []

    def flush(self) -> list[Chunk]:
        """The answer ends: return what was held."""
        return [chunk for index in sorted(self._held) for chunk in self._release(index)]

    def _release(self, index: int) -> list[Chunk]:
        self._counts[index] = 0
        held = self._held.pop(index, None)
        return [] if held is None else [held]


def join(first: Chunk, second: Chunk) -> Chunk:
    """Two chunks of one choice as one. Ids are kept only when both are known."""
    ids = None
    if first.token_ids is not None and second.token_ids is not None:
        ids = (*first.token_ids, *second.token_ids)
    logprobs = join_logprobs(first.logprobs, second.logprobs)
    text = first.text + second.text
    return replace(first, text=text, token_ids=ids, logprobs=logprobs, end=second.end)


def join_logprobs(
    first: Mapping[str, Any] | None, second: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
    """The logprobs object of two stretches of one answer: every list in it goes on."""
    if first is None or second is None:
        return first or second
    joined = dict(first)
    for name, value in second.items():
        if value is not None:
            joined[name] = [*(first.get(name) or ()), *value] if isinstance(value, list) else value
    return joined
