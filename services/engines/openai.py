"""Any server that speaks OpenAI's chat and text completions: vLLM, llama.cpp, LM Studio, others."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

import orjson

from mesh.capability import ModelRef
from mesh.errors import ElectronsError, InvalidRequest
from mesh.jobs import Chunk, Finish, JobSpec, Sampling
from services.engines.answer_errors import MAX_REFUSAL, refusal
from services.engines.choices import join_finishes, one_choice, shift
from services.engines.engine import EngineStatus, Event
from services.engines.http_client import HttpClient, Stream, Timeouts
from services.engines.openai_answer import AnswerReader
from services.engines.openai_probe import Kind, Prober
from services.engines.openai_request import path_of, request_body
from services.engines.openai_resume import OpenAIResumer
from services.engines.sse import EventParser

log = logging.getLogger(__name__)

DONE = b"[DONE]"


class OpenAIEngine:
    """An engine behind a URL, which may end in /v1.

    `api_key` goes out as a Bearer token. `own_choices` False: the server ignores `n`, so choices
    are asked for one after another.
    """

    def __init__(
        self,
        url: str,
        *,
        kind: Kind = "openai",
        api_key: str = "",
        timeouts: Timeouts | None = None,
        own_choices: bool = True,
    ) -> None:
        self._client = HttpClient(root_of(url), api_key=api_key, timeouts=timeouts)
        self._prober = Prober(self._client, kind)
        self._resumer = OpenAIResumer(self._prober.tokens, self._generate)
        self._kind = kind
        self._own_choices = own_choices
        self._ask_usage = True
        self._ids: dict[str, str] = {}
        self._warned = False

    @property
    def name(self) -> str:
        """Kind and place, e.g. "vllm@127.0.0.1:8000"."""
        return f"{self._kind}@{self._client.origin.partition('://')[2]}"

    async def probe(self) -> EngineStatus:
        """Ask for models, slots and load. Raises EngineUnavailable."""
        cards, status = await self._prober.ask()
        self._ids = {card.ref.name: card.id for card in cards}
        return status

    async def close(self) -> None:
        """Close all connections; running jobs end with EngineUnavailable."""
        await self._client.close()

    def run(self, job: JobSpec, model: ModelRef) -> AsyncGenerator[Event, None]:
        """As `Engine.run`. Usage is zero where the server tells none."""
        self._prober.used()
        if job.resume:
            return self._resumer.run(job, model, self._ids.get(model.name, model.name))
        if job.sampling.n > 1 and not self._own_choices:
            return self._in_turn(job, model)
        return self._generate(job, model, job.sampling)

    async def _generate(
        self, job: JobSpec, model: ModelRef, sampling: Sampling
    ) -> AsyncGenerator[Event, None]:
        origin = self._client.origin
        reader = AnswerReader(origin, chat=job.kind == "chat", choices=sampling.n)
        if job.stream:
            stream = await self._open(job, model, sampling)
            try:
                parser = EventParser()
                ended = False
                while not ended and (piece := await stream.read()):
                    for data in parser.feed(piece):
                        if data == DONE:
                            ended = True
                            break
                        for chunk in reader.read_event(data):
                            yield chunk
                finish = reader.finish()
                stream.linger()
            finally:
                stream.close()
        else:
            for chunk in reader.read_whole(await self._whole(job, model, sampling)):
                yield chunk
            finish = reader.finish()
        if reader.usage is None:
            self._warn_of_usage()
        yield finish

    async def _in_turn(self, job: JobSpec, model: ModelRef) -> AsyncGenerator[Event, None]:
        finishes: list[Finish] = []
        for index in range(job.sampling.n):
            one = one_choice(job.sampling, index)
            async with aclosing(self._generate(job, model, one)) as events:
                async for event in events:
                    if isinstance(event, Chunk):
                        yield shift(event, index)
                    else:
                        finishes.append(event)
        yield join_finishes(finishes)

    async def _open(self, job: JobSpec, model: ModelRef, sampling: Sampling) -> Stream:
        body = self._body(job, model, sampling)
        stream = await self._client.stream("POST", path_of(job), body)
        if stream.status == 200:
            return stream
        answer = await stream.read_all(MAX_REFUSAL)
        error = refusal(stream.status, answer, self._client.origin)
        if self._ask_usage and _is_about_usage(error):
            self._ask_usage = False
            return await self._open(job, model, sampling)
        raise error

    async def _whole(self, job: JobSpec, model: ModelRef, sampling: Sampling) -> bytes:
        body = self._body(job, model, sampling)
        answer = await self._client.fetch("POST", path_of(job), body)
        if answer.status != 200:
            raise refusal(answer.status, answer.body[:MAX_REFUSAL], self._client.origin)
        return answer.body

    def _body(self, job: JobSpec, model: ModelRef, sampling: Sampling) -> bytes:
        model_id = self._ids.get(model.name, model.name)
        body = request_body(job, model_id, sampling, ask_usage=self._ask_usage)
        if self._kind == "vllm" and "resume" in model.features:
            body["return_token_ids"] = True  # whoever goes on with the answer wants them
        try:
            return orjson.dumps(body)
        except TypeError as error:  # a number beyond 64 bits, half a surrogate pair
            raise InvalidRequest(f"the request cannot be written as JSON: {error}") from error

    def _warn_of_usage(self) -> None:
        if not self._warned:
            self._warned = True
            log.warning("%s counts no tokens; usage of its jobs is recorded as zero", self.name)


def root_of(url: str) -> str:
    """The URL without a trailing /v1, which the engine adds itself."""
    return url.rstrip("/").removesuffix("/v1")


def _is_about_usage(error: ElectronsError) -> bool:
    words = str(error)
    return isinstance(error, InvalidRequest) and (
        "stream_options" in words or "include_usage" in words
    )
