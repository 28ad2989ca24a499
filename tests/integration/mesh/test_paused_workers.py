"""Owners pause real daemons: what runs is finished, the rest goes elsewhere, and it is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from mesh.storage.run_file import read_run_file
from tests.fakes.knobs import Knobs
from tests.fakes.openai_server import FakeOpenAI
from tests.integration.mesh.daemon import Daemon, Daemons, until, until_model

MODEL = "fake-7b"
LENGTH = 100
DELAY = 0.02
HELLO = [{"role": "user", "content": "hello"}]
PAUSED = "paused by its owner"


class Farm:
    """A gateway without engines, and two workers that can be told apart."""

    def __init__(self, daemons: Daemons, folder: Path, nodes: list[Daemon], urls: list[str]):
        self._daemons = daemons
        self._folder = folder
        self.gateway, *self.workers = nodes
        self._urls = urls

    def folder_of(self, worker: Daemon) -> Path:
        return self._folder / f"node-{1 + self.workers.index(worker)}"

    async def tell(self, worker: Daemon, method: str, path: str, body: Any = None) -> Any:
        """As `electrons` does it: with the token of run.json."""
        info = read_run_file(self.folder_of(worker))
        assert info is not None
        headers = {"Authorization": f"Bearer {info.token}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(method, worker.http + path, json=body or {}) as answer,
        ):
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def ask(self, at: Daemon | None = None) -> str:
        """The node that served a short request."""
        body = {"model": MODEL, "messages": HELLO, "max_tokens": 1}
        url = f"{(at or self.gateway).http}/v1/chat/completions"
        async with aiohttp.ClientSession() as session, session.post(url, json=body) as answer:
            assert answer.status == 200, await answer.text()
            return answer.headers["x-electrons-node"]

    async def until_seen(self, worker: Daemon, state: str, reason: str) -> None:
        async def seen() -> bool:
            peers = (await self.gateway.get("/api/peers"))["peers"]
            entry: dict[str, Any] = next((p for p in peers if p["node_id"] == worker.node_id), {})
            return (entry.get("state"), entry.get("reason")) == (state, reason)

        await until(seen)

    async def restart(self, worker: Daemon) -> Daemon:
        """The same node again: same folder, same engine."""
        index = self.workers.index(worker)
        folder = self.folder_of(worker)
        await worker.stop()
        again = await self._daemons.start(
            *("--engine", self._urls[index], "--data-dir", str(folder)), join=self.gateway
        )
        assert again.node_id == worker.node_id
        self.workers[index] = again
        return again


@pytest.fixture
async def farm(daemons: Daemons, tmp_path: Path) -> AsyncIterator[Farm]:
    async with AsyncExitStack() as stack:
        knobs = [Knobs(length=LENGTH, delay=DELAY) for _ in range(2)]
        engines = [FakeOpenAI("llama.cpp", model=MODEL, slots=4, knobs=each) for each in knobs]
        for engine in engines:
            await stack.enter_async_context(engine)
        gateway = await daemons.start("--engine", "none")
        urls = [engine.url for engine in engines]
        workers = [await daemons.start("--engine", url, join=gateway) for url in urls]
        await until_model(gateway, MODEL, nodes=2)
        yield Farm(daemons, tmp_path, [gateway, *workers], urls)


async def test_a_pause_lets_the_stream_end_and_sends_the_rest_elsewhere(farm: Farm) -> None:
    url = f"{farm.gateway.http}/v1/chat/completions"
    body = {"model": MODEL, "messages": HELLO, "max_tokens": LENGTH, "stream": True}
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as stream:
        await stream.content.readline()
        serving = stream.headers["x-electrons-node"]
        paused, other = sorted(farm.workers, key=lambda worker: worker.node_id != serving)
        assert paused.node_id == serving
        answer = await farm.tell(paused, "POST", "/api/node/pause")
        assert answer == {"open": False, "reason": PAUSED, "until": None}
        assert (await paused.get("/api/node"))["in_flight"] == 1
        assert {await farm.ask() for _ in range(6)} == {other.node_id}
        assert await farm.ask(at=paused) == other.node_id
        rest = (await stream.read()).decode()
    assert rest.count('"content":') >= LENGTH - 1
    assert '"finish_reason":"' in rest
    assert "resumed" not in rest
    assert "attempts=1" in rest
    await farm.until_seen(paused, "draining", PAUSED)

    await farm.tell(paused, "POST", "/api/node/resume")
    async with asyncio.timeout(10):
        while await farm.ask() != paused.node_id:
            pass
    await farm.until_seen(paused, "ready", "")


async def test_a_pause_and_limits_hold_over_a_restart(farm: Farm) -> None:
    worker, other = farm.workers
    await farm.tell(worker, "POST", "/api/node/pause")
    await farm.tell(worker, "PUT", "/api/node/limits", {"slots": 1})
    worker = await farm.restart(worker)
    told = await worker.get("/api/node")
    assert told["availability"] == {"open": False, "reason": PAUSED, "until": None}
    assert told["limits"]["slots"] == 1
    await farm.until_seen(worker, "draining", PAUSED)
    assert {await farm.ask() for _ in range(4)} == {other.node_id}
    await farm.tell(worker, "POST", "/api/node/resume")
    await farm.until_seen(worker, "ready", "")
    await farm.tell(other, "POST", "/api/node/pause")  # else the scheduler may prefer it for long
    await farm.until_seen(other, "draining", PAUSED)
    assert await farm.ask() == worker.node_id
    assert (await worker.get("/api/node"))["load"]["slots"] == 1


async def test_with_everybody_paused_the_answer_is_to_try_again(farm: Farm) -> None:
    for worker in farm.workers:
        await farm.tell(worker, "POST", "/api/node/pause")
    body = {"model": MODEL, "messages": HELLO}
    url = f"{farm.gateway.http}/v1/chat/completions"
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as answer:
        assert answer.status == 503
        assert (await answer.json())["error"]["code"] == "model_unavailable"


async def test_a_lower_limit_holds_for_the_next_jobs_and_finishes_the_running(farm: Farm) -> None:
    worker, other = farm.workers
    await farm.tell(other, "POST", "/api/node/pause")
    await farm.until_seen(other, "draining", PAUSED)
    jobs = [asyncio.ensure_future(_whole(farm)) for _ in range(2)]

    async def running(count: int) -> bool:
        return bool((await worker.get("/api/node"))["load"]["in_flight"] == count)

    await until(lambda: running(2))
    await farm.tell(worker, "PUT", "/api/node/limits", {"slots": 1})
    jobs.append(asyncio.ensure_future(_whole(farm)))

    async def queued() -> bool:
        load = (await worker.get("/api/node"))["load"]
        return (load["in_flight"], load["queued"]) == (2, 1)

    await until(queued)
    assert [text.count(" ") > 10 for text in await asyncio.gather(*jobs)] == [True] * 3


async def _whole(farm: Farm) -> str:
    body = {"model": MODEL, "messages": HELLO, "max_tokens": LENGTH}
    url = f"{farm.gateway.http}/v1/chat/completions"
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as answer:
        return str((await answer.json())["choices"][0]["message"]["content"])
