"""Several choices from an engine that makes one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mesh.jobs import Chunk, Finish, Sampling, Usage


def one_choice(sampling: Sampling, index: int) -> Sampling:
    """Sampling for choice `index` alone; a given seed is moved on, or all would be the same."""
    seed = sampling.seed if sampling.seed is None else sampling.seed + index
    return replace(sampling, n=1, seed=seed)


def shift(chunk: Chunk, index: int) -> Chunk:
    """The chunk as part of choice `index`."""
    return chunk if chunk.index == index else replace(chunk, index=index)


def join_finishes(finishes: Sequence[Finish]) -> Finish:
    """One end for all choices; tokens add up, the prompt counts once as OpenAI counts it."""
    return Finish(
        tuple(reason for finish in finishes for reason in finish.reasons),
        Usage(
            max(finish.usage.prompt_tokens for finish in finishes),
            sum(finish.usage.completion_tokens for finish in finishes),
        ),
    )
