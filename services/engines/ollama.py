"""Ollama by its native API."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import orjson

from mesh.capability import ModelRef
from mesh.errors import EngineError, EngineUnavailable, InvalidRequest
from mesh.jobs import Chunk, Finish, JobSpec, Sampling
from services.engines.answer_errors import MAX_REFUSAL, refusal
from services.engines.choices import join_finishes, one_choice, shift
from services.engines.engine import EngineStatus, Event
from services.engines.http_client import HttpClient, Timeouts
from services.engines.lines import LineSplitter
from services.engines.ollama_answer import AnswerReader
from services.engines.ollama_models import (
    Tag,
    Traits,
    model_ref,
    read_loaded,
    read_tags,
    read_traits,
    read_version,
)
from services.engines.ollama_request import CHAT_PATH, path_of, request_body
from services.engines.ollama_resume import OllamaResumer
from services.engines.page_reader import PageReader, loads

SLOTS = 1
"""OLLAMA_NUM_PARALLEL is 1 unless its owner says otherwise, and the API does not tell."""
SHOW_SECONDS = 1.5
"""For /api/show of new models in one probe; models not yet shown follow in the next."""


class OllamaEngine:
    """One Ollama server. Choices are asked for one after another: it has no `n`."""

    def __init__(self, url: str, *, api_key: str = "", timeouts: Timeouts | None = None) -> None:
        self._client = HttpClient(url.rstrip("/"), api_key=api_key, timeouts=timeouts)
        self._pages = PageReader(self._client)
        self._version: tuple[int, ...] | None = None
        self._traits: dict[str, Traits] = {}
        self._resumer = OllamaResumer(self._ask, self._send)

    @property
    def name(self) -> str:
        """ "ollama@" and the place, e.g. "ollama@127.0.0.1:11434"."""
        return f"ollama@{self._client.origin.partition('://')[2]}"

    async def probe(self) -> EngineStatus:
        """Ask for models that generate text, those in memory first. Raises EngineUnavailable."""
        try:
            if self._version is None:
                self._version = read_version(await self._pages.json("/api/version"))
            tags = read_tags(await self._pages.json("/api/tags"))
            loaded = read_loaded(await self._pages.json("/api/ps"))
            await self._learn(tags)
        except EngineUnavailable:
            self._version = None  # what comes back may be another version
            raise
        except EngineError as error:
            raise EngineUnavailable(str(error)) from error
        shown = [tag for tag in tags if "completion" in self._capabilities(tag)]
        shown.sort(key=lambda tag: tag.name not in loaded)
        models = (
            model_ref(tag, self._traits[tag.digest], loaded.get(tag.name), self._version)
            for tag in shown
        )
        return EngineStatus(tuple(models), SLOTS)

    def run(self, job: JobSpec, model: ModelRef) -> AsyncGenerator[Event, None]:
        """As `Engine.run`."""
        if job.resume:
            return self._resumer.run(job, model.name)
        return self._in_turn(job, model) if job.sampling.n > 1 else self._one(job, model)

    async def close(self) -> None:
        """Close all connections; running jobs end with EngineUnavailable."""
        await self._client.close()

    async def _learn(self, tags: tuple[Tag, ...]) -> None:
        """Show models that are new, as long as there is time; forget those that are gone."""
        end = time.monotonic() + SHOW_SECONDS
        kept = {tag.digest for tag in tags}
        self._traits = {digest: one for digest, one in self._traits.items() if digest in kept}
        for tag in tags:
            if tag.digest not in self._traits and time.monotonic() < end:
                shown = await self._pages.json("/api/show", {"model": tag.name})
                self._traits[tag.digest] = read_traits(shown)

    def _capabilities(self, tag: Tag) -> tuple[str, ...]:
        traits = self._traits.get(tag.digest)
        return traits.capabilities if traits is not None else ()

    async def _in_turn(self, job: JobSpec, model: ModelRef) -> AsyncGenerator[Event, None]:
        finishes: list[Finish] = []
        for index in range(job.sampling.n):
            one = one_choice(job.sampling, index)
            async with aclosing(self._one(job, model, one)) as events:
                async for event in events:
                    if isinstance(event, Chunk):
                        yield shift(event, index)
                    else:
                        finishes.append(event)
                        yield Chunk("", index, end=event.reasons[0])
        yield join_finishes(finishes)

    async def _one(
        self, job: JobSpec, model: ModelRef, sampling: Sampling | None = None
    ) -> AsyncGenerator[Event, None]:
        sampling = sampling or job.sampling
        if sampling.max_tokens == 0:
            yield Finish(("length",))  # Ollama would take num_predict 0 as "no limit"
            return
        body = request_body(job, model.name, sampling)
        async with aclosing(self._send(path_of(job), body, job)) as events:
            async for event in events:
                yield event

    async def _ask(self, path: str, body: dict[str, Any]) -> Any:
        answer = await self._client.fetch("POST", path, _encode(body))
        if answer.status != 200:
            raise refusal(answer.status, answer.body[:MAX_REFUSAL], self._client.origin)
        return loads(answer.body)

    async def _send(
        self, path: str, body: dict[str, Any], job: JobSpec
    ) -> AsyncGenerator[Event, None]:
        chat = path == CHAT_PATH
        reader = AnswerReader(self._client.origin, chat=chat, stream=job.stream)
        stream = await self._client.stream("POST", path, _encode(body))
        try:
            if stream.status != 200:
                answer = await stream.read_all(MAX_REFUSAL)
                raise refusal(stream.status, answer, self._client.origin)
            lines = LineSplitter()
            while reader.finished is None and (piece := await stream.read()):
                for line in lines.feed(piece):
                    if line:
                        for chunk in reader.read(line):
                            yield chunk
            if reader.finished is None and lines.rest():
                for chunk in reader.read(lines.rest()):  # a whole answer ends without a newline
                    yield chunk
            finish = reader.finish()
            stream.linger()
        finally:
            stream.close()
        yield finish


def _encode(body: dict[str, object]) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError as error:
        raise InvalidRequest(f"the request cannot be written as JSON: {error}") from error
