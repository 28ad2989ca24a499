"""Going on with an answer at Ollama.

Whether a last assistant message is gone on with depends on each model's template, and no page says
so. Ollama shows the prompt it would use, though (`_debug_render_only`, github.com/ollama/ollama,
api/types.go and server/routes.go, since 0.11.11 of 2025), and /api/generate with `raw` takes it
back with the given text behind it (docs/api.md, "Request (Raw Mode)").
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from mesh.errors import EngineError
from mesh.jobs import Emitted, Finish, JobSpec, Sampling
from services.engines.engine import Event
from services.engines.ollama_request import CHAT_PATH, GENERATE_PATH, request_body
from services.engines.resume import (
    ended,
    left_of,
    past_seam,
    resume_choices,
    whole_usage,
)

Ask = Callable[[str, dict[str, Any]], Awaitable[Any]]
"""POST a body to a path; the JSON of the answer. Raises EngineError or InvalidRequest."""
Send = Callable[[str, dict[str, Any], JobSpec], AsyncGenerator[Event, None]]
"""POST a body to a path and read it as the answer to a job."""

AT_ONCE = 1
"""Choices that are gone on with side by side: Ollama has one slot unless told otherwise."""


class OllamaResumer:
    """Resumes jobs at one server."""

    def __init__(self, ask: Ask, send: Send) -> None:
        self._ask = ask
        self._send = send

    def run(self, job: JobSpec, model: str) -> AsyncGenerator[Event, None]:
        """As `Engine.run` for a job with `resume`."""

        def go_on(one: JobSpec, emitted: Emitted) -> AsyncGenerator[Event, None]:
            return self._go_on(one, emitted, model)

        return resume_choices(job, go_on, AT_ONCE)

    async def _go_on(
        self, job: JobSpec, emitted: Emitted, model: str
    ) -> AsyncGenerator[Event, None]:
        if not emitted.text and not emitted.finished:
            path = CHAT_PATH if job.kind == "chat" else GENERATE_PATH
            body = request_body(job, model, job.sampling)
            async with aclosing(self._send(path, body, job)) as events:
                async for event in events:
                    yield event
            return
        prompt = await self._render(job, model)
        size = await self._count(model, prompt, job)
        given = await self._count(model, prompt + emitted.text, job) - size
        if not 0 <= given <= len(emitted.text.encode("utf-8", "replace")):
            raise EngineError("Ollama's counts of tokens make no sense")
        end = ended(job, emitted, given, size)
        if end is not None:
            yield end
            return
        sampling = replace(job.sampling, max_tokens=left_of(job.sampling, given))
        body = raw_body(job, model, prompt + emitted.text, sampling)
        events = past_seam(self._send(GENERATE_PATH, body, job), job, emitted)
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Finish):
                    event = whole_usage(event, given, size)
                yield event

    async def _render(self, job: JobSpec, model: str) -> str:
        """The prompt as Ollama would give it to the model."""
        if job.kind == "completion":
            prompt = request_body(job, model, job.sampling)["prompt"]
            assert isinstance(prompt, str)
            return prompt
        body = request_body(job, model, job.sampling)
        if any(message.get("images") for message in body["messages"]):
            raise EngineError("an answer to images cannot be gone on with here")
        answer = await self._ask(CHAT_PATH, {**body, "stream": False, "_debug_render_only": True})
        shown = answer.get("_debug_info") if isinstance(answer, Mapping) else None
        prompt = shown.get("rendered_template") if isinstance(shown, Mapping) else None
        if not isinstance(prompt, str) or not prompt:
            raise EngineError("this Ollama does not show its prompts, so it cannot go on with them")
        return prompt

    async def _count(self, model: str, prompt: str, job: JobSpec) -> int:
        """Tokens of a prompt. Ollama has no tokenizer to ask: it is read, and one token written.

        What was read stays in its cache, so that the answer itself does not wait for it again.
        """
        sampling = Sampling(max_tokens=1, temperature=0)
        body = raw_body(replace(job, stream=False, extra={}), model, prompt, sampling)
        answer = await self._ask(GENERATE_PATH, body)
        count = answer.get("prompt_eval_count") if isinstance(answer, Mapping) else None
        if type(count) is not int or count < 1:
            raise EngineError("Ollama did not count the tokens of a prompt")
        return count


def raw_body(job: JobSpec, model: str, prompt: str, sampling: Sampling) -> dict[str, Any]:
    """The body of a /api/generate whose prompt is taken as it stands."""
    extra = {name: value for name, value in job.extra.items() if name != "reasoning_effort"}
    raw = replace(job, kind="completion", prompt=prompt, messages=(), extra=extra)
    return request_body(raw, model, sampling)
