"""Going on with answers that an earlier worker began: what is common to engines that take text."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace

from mesh.errors import InvalidRequest
from mesh.jobs import Chunk, Emitted, Finish, JobSpec, Sampling, Usage
from mesh.resuming import bound_by
from services.engines.choices import join_finishes, one_choice, shift
from services.engines.engine import Event
from services.engines.parallel import merge
from services.engines.seam import Seam

GoOn = Callable[[JobSpec, Emitted], AsyncGenerator[Event, None]]
"""Goes on with one choice: its chunks, then a Finish whose usage counts the whole choice. The job
has n = 1 and nothing to resume; `Emitted` is what was given out."""


def check_resume(job: JobSpec) -> None:
    """Raise InvalidRequest for an answer that is more than text, and so cannot be gone on with."""
    if len(job.resume) != job.sampling.n:
        raise InvalidRequest("resume holds one entry for each choice", param="resume")
    bound = bound_by(job)
    if not bound and (job.extra.get("tools") or job.extra.get("functions")):
        bound = "tools"
    if not bound and job.sampling.logprobs is not None:
        bound = "logprobs"
    if bound:
        raise InvalidRequest(f"an answer with {bound} cannot be gone on with", param=bound)


async def resume_choices(job: JobSpec, go_on: GoOn, at_once: int) -> AsyncGenerator[Event, None]:
    """Go on with every choice, `at_once` at a time. Raises InvalidRequest and what `go_on` does."""
    check_resume(job)
    sources = [
        go_on(replace(job, sampling=one_choice(job.sampling, index), resume=()), emitted)
        for index, emitted in enumerate(job.resume)
    ]
    finishes: dict[int, Finish] = {}
    ends = {index for index, emitted in enumerate(job.resume) if emitted.finished}
    async with aclosing(merge(sources, at_once)) as events:
        async for index, event in events:
            if isinstance(event, Chunk):
                yield shift(event, index)
                if event.end:
                    ends.add(index)
                continue
            finishes[index] = event
            if len(sources) > 1 and index not in ends:
                yield Chunk("", index, end=event.reasons[0])
    yield join_finishes([finishes[index] for index in range(len(sources))])


def left_of(sampling: Sampling, given: int) -> int | None:
    """Tokens that may still come; None when there is no limit."""
    return None if sampling.max_tokens is None else max(0, sampling.max_tokens - given)


def ended(job: JobSpec, emitted: Emitted, given: int, prompt: int) -> Finish | None:
    """The end of a choice to which nothing is to be added; None when it goes on.

    Why a finished choice ended is not told: at its limit of tokens by `length`, else by `stop`.
    """
    at_limit = left_of(job.sampling, given) == 0
    if not emitted.finished and not at_limit:
        return None
    return Finish(("length" if at_limit else "stop",), Usage(prompt, given))


async def past_seam(
    events: AsyncGenerator[Event, None], job: JobSpec, emitted: Emitted
) -> AsyncGenerator[Event, None]:
    """The events, ended early when a stop sequence is completed across the seam.

    The usage of an early end counts a token a chunk: the engine is stopped and tells none.
    """
    seam = Seam(emitted.text, job.sampling.stop)
    taken = 0
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Finish):
                for chunk in seam.flush():
                    yield chunk
                yield event
                return
            taken += 1
            for chunk in seam.push(event):
                yield chunk
            if seam.stopped:
                break
    yield Finish(("stop",), Usage(0, taken))


def whole_usage(finish: Finish, given: int, prompt: int) -> Finish:
    """The end of what was added, with the tokens of the whole choice."""
    return replace(finish, usage=Usage(prompt, given + finish.usage.completion_tokens))
