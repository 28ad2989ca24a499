"""Joins the chunks of an answer that nobody watches grow, so that few messages carry it. Pure."""

from __future__ import annotations

from dataclasses import replace

from mesh.capability import ModelRef
from mesh.jobs import Chunk, JobSpec
from mesh.resuming import bound_by, has_media
from mesh.wire.jobs import count_tokens

MAX_BATCH = 8
"""Tokens in one chunk of a whole answer. What a lost worker takes with it is at most one batch, the
window between it and its gateway, and what its engine wrote ahead: 32 tokens."""
MAX_CHARACTERS = 4096
"""Characters in one such chunk; a longer one is passed on by itself."""
SMALL_ANSWER = 32
"""An answer of no more tokens may be lost altogether: its engine may give it in one piece."""


def stream_for_loss(job: JobSpec, model: ModelRef) -> JobSpec:
    """The job as the engine is to run it: piece by piece where another node could go on with it."""
    longest = job.sampling.max_tokens
    small = longest is not None and longest * job.sampling.n <= SMALL_ANSWER
    if job.stream or small or "resume" not in model.features:
        return job
    if "tools" in job.needs or job.sampling.logprobs is not None or bound_by(job) or has_media(job):
        return job
    return replace(job, stream=True)


def is_end_alone(chunk: Chunk) -> bool:
    """Whether a chunk says that its choice is over and nothing else."""
    return bool(chunk.end) and not (chunk.text or chunk.token_ids or chunk.delta or chunk.logprobs)


class Batch:
    """Holds chunks back until they are MAX_BATCH tokens, cannot be joined, or the job ends."""

    def __init__(self) -> None:
        self._held: list[Chunk] = []
        self._tokens = self._characters = 0

    def add(self, chunk: Chunk) -> list[Chunk]:
        """Take a chunk; return what has to leave now."""
        leaving = [] if not self._held or self._has_room(chunk) else [self._take()]
        self._held.append(chunk)
        self._tokens += count_tokens(chunk)
        self._characters += len(chunk.text)
        if self._tokens >= MAX_BATCH:
            leaving.append(self._take())
        return leaving

    def rest(self) -> Chunk | None:
        """What is held, to travel with the end of the job."""
        return self._take() if self._held else None

    def _has_room(self, chunk: Chunk) -> bool:
        if self._tokens + count_tokens(chunk) > MAX_BATCH:
            return False
        return self._characters + len(chunk.text) <= MAX_CHARACTERS and _fit(self._held[-1], chunk)

    def _take(self) -> Chunk:
        held, self._held = self._held, []
        self._tokens = self._characters = 0
        return _join(held)


def _fit(one: Chunk, other: Chunk) -> bool:
    """Plain text of one choice, with ids or without, of which the first does not end the choice."""
    if one.index != other.index or (one.token_ids is None) != (other.token_ids is None):
        return False
    return not (one.end or one.delta or other.delta or one.logprobs or other.logprobs)


def _join(chunks: list[Chunk]) -> Chunk:
    last = chunks[-1]
    if len(chunks) == 1:
        return last
    ids = None
    if last.token_ids is not None:
        ids = tuple(token for chunk in chunks for token in chunk.token_ids or ())
    return Chunk("".join(chunk.text for chunk in chunks), last.index, ids, end=last.end)
