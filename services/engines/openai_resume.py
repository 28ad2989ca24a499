"""Going on with an answer at a server that takes token ids as prompt: vLLM and llama.cpp.

The server renders the conversation itself, and the answer goes on as a completion of the ids of
prompt and given text. A last assistant message would do the same at some servers and versions; at
others its spaces are trimmed, it is repeated in the answer, or it is refused (docs/engines.md).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

from mesh.capability import ModelRef
from mesh.errors import EngineError, EngineUnavailable
from mesh.jobs import Emitted, Finish, JobSpec, Sampling
from services.engines.engine import Event
from services.engines.openai_tokens import Ids, Tokens, of_prompt
from services.engines.resume import (
    ended,
    left_of,
    past_seam,
    resume_choices,
    whole_usage,
)

Generate = Callable[[JobSpec, ModelRef, Sampling], AsyncGenerator[Event, None]]

AT_ONCE = 4
"""Choices of one job that are gone on with side by side."""
DEFAULT_COMPLETION = 16
"""vLLM's `max_tokens` for completions that name none, as OpenAI's API reference has it."""

CHAT_ONLY = frozenset(
    [
        *("chat_template", "chat_template_kwargs", "add_generation_prompt"),
        *("continue_final_message", "reasoning_effort", "include_reasoning", "modalities"),
        *("tools", "tool_choice", "parallel_tool_calls", "functions", "function_call"),
        *("response_format", "prediction", "verbosity", "store", "metadata", "documents"),
        *("echo", "suffix", "best_of"),
    ]
)
"""Fields of a chat request that a completion does not have."""


@dataclass(frozen=True, slots=True)
class Given:
    """A prompt and what was given out after it, in the server's ids."""

    prompt: Ids
    answer: Ids


class OpenAIResumer:
    """Resumes jobs at one server. `tokens` None: the server is not known to go on exactly."""

    def __init__(self, tokens: Tokens | None, generate: Generate) -> None:
        self._tokens = tokens
        self._generate = generate

    def run(self, job: JobSpec, model: ModelRef, model_id: str) -> AsyncGenerator[Event, None]:
        """As `Engine.run` for a job with `resume`."""

        def go_on(one: JobSpec, emitted: Emitted) -> AsyncGenerator[Event, None]:
            return self._go_on(one, emitted, model, model_id)

        return resume_choices(job, go_on, AT_ONCE)

    async def _go_on(
        self, job: JobSpec, emitted: Emitted, model: ModelRef, model_id: str
    ) -> AsyncGenerator[Event, None]:
        if not emitted.text and not emitted.finished:
            async with aclosing(self._generate(job, model, job.sampling)) as events:
                async for event in events:
                    yield event
            return
        given = await self._read(job, emitted, model_id)
        prompt, count = len(given.prompt), len(given.answer)
        job = with_limit(job, model, given)
        end = ended(job, emitted, count, prompt)
        if end is not None:
            yield end
            return
        rest = continuation(job, given)
        events = past_seam(self._generate(rest, model, rest.sampling), job, emitted)
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Finish):
                    event = whole_usage(event, count, prompt)
                yield event

    async def _read(self, job: JobSpec, emitted: Emitted, model_id: str) -> Given:
        if self._tokens is None:
            raise EngineError("this engine is not known to go on with an answer exactly")
        try:
            prompt = await of_prompt(self._tokens, job, model_id)
            return Given(prompt, await self._answer_ids(emitted, model_id))
        except EngineUnavailable as error:  # a server that only fails at this page still serves
            raise EngineError(str(error)) from error

    async def _answer_ids(self, emitted: Emitted, model_id: str) -> Ids:
        """The ids told where they are the text's, else those the text is cut into now."""
        tokens = self._tokens
        assert tokens is not None
        ids = emitted.token_ids
        if ids:
            try:
                if await tokens.to_text(model_id, ids) == emitted.text:
                    return ids
            except EngineError:
                pass  # ids of another tokenizer
        if not emitted.text:
            return ()
        return await tokens.of_text(model_id, emitted.text, start=False)


def with_limit(job: JobSpec, model: ModelRef, given: Given) -> JobSpec:
    """The job with the limit of tokens that the server would have taken for the whole answer."""
    if job.sampling.max_tokens is not None or model.engine != "vllm":
        return job
    if job.kind == "chat" and not model.context:
        raise EngineError("the room for an answer is not known, so it cannot be gone on with")
    room = max(0, model.context - len(given.prompt))
    limit = room if job.kind == "chat" else DEFAULT_COMPLETION
    return replace(job, sampling=replace(job.sampling, max_tokens=limit))


def continuation(job: JobSpec, given: Given) -> JobSpec:
    """The job whose whole answer is what is missing."""
    sampling = replace(job.sampling, max_tokens=left_of(job.sampling, len(given.answer)))
    extra = {name: value for name, value in job.extra.items() if name not in CHAT_ONLY}
    return replace(
        job,
        kind="completion",
        messages=(),
        prompt=(*given.prompt, *given.answer),
        sampling=sampling,
        extra=extra,
    )
