"""Workers with ordinary engines are lost midway: vLLM, llama.cpp and Ollama go on exactly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import openai
import pytest

from tests.fakes.knobs import Knobs
from tests.fakes.ollama_server import FakeOllama
from tests.fakes.openai_server import FakeOpenAI
from tests.fakes.serving import FakeServer
from tests.integration.mesh.daemon import Daemon, Daemons, until_model
from tests.integration.mesh.resuming_client import RESUMED, STORY, hear

MODEL = "fake-7b"
LENGTH = 60
LOSS = 32
"""Tokens that may be generated in vain when a worker is lost."""


class Pair:
    """A gateway, and two workers with an engine each; engines outlive their workers."""

    def __init__(self, gateway: Daemon, workers: list[Daemon], engines: list[FakeServer]) -> None:
        self.gateway = gateway
        self._workers = {worker.node_id: worker for worker in workers}
        self._engines = dict(zip(self._workers, engines, strict=True))

    async def kill(self, node: str) -> None:
        await self._workers[node].kill()

    async def break_engine(self, node: str) -> None:
        """The server behind the worker cuts its connections."""
        for connection in list(self._engines[node].seen.connections):
            connection.abort()

    @property
    def generated(self) -> int:
        return sum(engine.seen.tokens for engine in self._engines.values())


def fake(kind: str) -> FakeServer:
    knobs = Knobs(length=LENGTH, delay=0.02, by_tokens=True)
    if kind == "ollama":
        return FakeOllama(model=MODEL, knobs=knobs)
    assert kind in ("vllm", "llama.cpp")
    return FakeOpenAI("vllm" if kind == "vllm" else "llama.cpp", model=MODEL, knobs=knobs)


async def start_pair(daemons: Daemons, stack: AsyncExitStack, kind: str) -> Pair:
    gateway = await daemons.start("--engine", "none")
    engines = [await stack.enter_async_context(fake(kind)) for _ in range(2)]
    workers = [await daemons.start("--engine", e.url, join=gateway) for e in engines]
    await until_model(gateway, MODEL, nodes=2)
    return Pair(gateway, workers, engines)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.mark.parametrize("kind", ["vllm", "llama.cpp", "ollama"])
async def test_an_ordinary_engine_goes_on_with_what_another_began(
    daemons: Daemons, stack: AsyncExitStack, kind: str
) -> None:
    pair = await start_pair(daemons, stack, kind)
    whole = await hear(pair.gateway, model=MODEL)
    before = pair.generated
    fields: dict[str, Any] = {"model": MODEL, "max_tokens": LENGTH + 10}
    broken = await hear(pair.gateway, after=25, do=pair.break_engine, **fields)
    assert broken.texts == whole.texts
    assert broken.usage == whole.usage
    assert RESUMED in broken.comments
    assert pair.generated - before <= LENGTH + LOSS
    before = pair.generated
    broken = await hear(pair.gateway, after=25, do=pair.kill, **fields)
    assert broken.texts == whole.texts
    assert broken.usage == whole.usage
    assert broken.reasons == whole.reasons
    assert RESUMED in broken.comments
    assert pair.generated - before <= LENGTH + LOSS


async def test_several_choices_and_whole_answers_go_on_as_well(
    daemons: Daemons, stack: AsyncExitStack
) -> None:
    pair = await start_pair(daemons, stack, "vllm")
    whole = await hear(pair.gateway, model=MODEL, n=2)
    broken = await hear(pair.gateway, after=80, do=pair.break_engine, model=MODEL, n=2)
    assert broken.texts == whole.texts
    assert broken.usage == whole.usage
    assert broken.reasons == whole.reasons
    url = f"{pair.gateway.http}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key="any", max_retries=0) as client:
        asking = client.chat.completions.with_raw_response
        before = pair.generated
        asked = asyncio.ensure_future(asking.create(model=MODEL, messages=STORY))  # type: ignore[arg-type]
        while pair.generated < before + 25:
            await asyncio.sleep(0.01)
        for node in list(pair._engines):
            if pair._engines[node].seen.running:
                await pair.kill(node)
        answer = (await asked).parse()
    assert answer.choices[0].message.content == whole.texts[0]
    assert answer.usage is not None
    assert 2 * answer.usage.completion_tokens == whole.usage["completion_tokens"]
    assert pair.generated - before <= LENGTH + LOSS


TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}


@pytest.mark.parametrize(
    "fields",
    [{"tools": [TOOL]}, {"response_format": {"type": "json_object"}}],
)
async def test_what_one_worker_must_write_alone_ends_in_a_clean_error(
    daemons: Daemons, stack: AsyncExitStack, fields: dict[str, Any]
) -> None:
    pair = await start_pair(daemons, stack, "vllm")
    broken = await hear(pair.gateway, after=10, do=pair.kill, model=MODEL, **fields)
    assert broken.error["type"] == "server_error"
    assert broken.error["code"] == "job_failed"
    assert "lost before it was done" in broken.error["message"]
    assert not broken.done
    assert RESUMED not in broken.comments
