"""Real daemons lose the worker of a running answer; its client hardly notices."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from tests.integration.mesh.daemon import Daemon, Daemons, until, until_model
from tests.integration.mesh.resuming_client import RESUMED, STORY, hear

PACED = ("--engine", "demo", "--demo-rate", "40")
LENGTH = 60
PREFILL = 1.0
"""Seconds a busy test machine may take to read a prompt and start a process for that."""

BEGUN = "time_to_first_token_seconds_count"
"""Answers of which the gateway has the first piece."""

Fleet = tuple[Daemon, dict[str, Daemon]]


@pytest.fixture
async def fleet(daemons: Daemons) -> Fleet:
    """A gateway and two workers that have answered once, so that their engines are warm."""
    gateway = await daemons.start("--engine", "none")
    workers = [await daemons.start(*PACED, join=gateway) for _ in range(2)]
    await until_model(gateway, "demo", nodes=2)
    for worker in workers:
        await hear(worker, max_tokens=2)
    return gateway, {worker.node_id: worker for worker in workers}


def killing(workers: dict[str, Daemon]) -> Callable[[str], Awaitable[None]]:
    async def kill(node: str) -> None:
        await workers[node].kill()

    return kill


def stopping(workers: dict[str, Daemon]) -> Callable[[str], Awaitable[None]]:
    async def stop(node: str) -> None:
        workers[node].signal(signal.SIGSTOP)

    return stop


async def figure(gateway: Daemon, name: str) -> float:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{gateway.http}/metrics") as answer,
    ):
        text = await answer.text()
    found = re.search(rf"^electrons_{name} (\S+)$", text, re.MULTILINE)
    assert found is not None
    return float(found[1])


async def test_a_stream_outlives_its_killed_worker(fleet: Fleet) -> None:
    gateway, workers = fleet
    fields: dict[str, Any] = {"max_tokens": LENGTH, "seed": 7}
    whole = await hear(gateway, **fields)
    broken = await hear(gateway, after=20, do=killing(workers), **fields)
    assert broken.texts == whole.texts
    assert broken.usage == whole.usage
    assert broken.reasons == whole.reasons
    assert broken.done
    assert whole.comments[:-1] == []
    assert RESUMED in broken.comments
    assert "attempts=2" in broken.comments[-1]
    assert broken.longest_gap <= 1.0 + PREFILL
    assert await figure(gateway, "dispatch_resumed_total") == 1


async def test_a_stream_outlives_its_stopped_worker_and_hears_it_no_more(fleet: Fleet) -> None:
    gateway, workers = fleet
    fields: dict[str, Any] = {"max_tokens": LENGTH, "seed": 8, "n": 2}
    whole = await hear(gateway, **fields)
    continuing: list[asyncio.TimerHandle] = []

    async def pause(node: str) -> None:
        workers[node].signal(signal.SIGSTOP)
        loop = asyncio.get_running_loop()
        continuing.append(loop.call_later(2.5, workers[node].signal, signal.SIGCONT))

    broken = await hear(gateway, after=20, do=pause, **fields)
    assert broken.texts == whole.texts
    assert broken.usage == whole.usage
    assert RESUMED in broken.comments
    assert broken.longest_gap <= 2.0 + PREFILL
    await until_model(gateway, "demo", nodes=2)
    again = await hear(gateway, **fields)
    assert again.texts == whole.texts


async def test_without_a_seed_the_answer_goes_on_as_it_began(fleet: Fleet) -> None:
    gateway, workers = fleet
    broken = await hear(gateway, after=20, do=killing(workers), max_tokens=LENGTH)
    assert broken.done
    assert broken.usage["completion_tokens"] <= LENGTH
    assert RESUMED in broken.comments


async def test_a_whole_answer_outlives_its_killed_worker(fleet: Fleet) -> None:
    gateway, workers = fleet
    body = {"model": "demo", "messages": STORY, "max_tokens": LENGTH, "seed": 9}
    url = f"{gateway.http}/v1/chat/completions"
    async with aiohttp.ClientSession() as session:
        async with session.post(url, json=body) as answer:
            whole = await answer.json()
        before = await figure(gateway, BEGUN)
        asked = asyncio.ensure_future(session.post(url, json=body))

        async def begun() -> bool:
            return await figure(gateway, BEGUN) > before

        await until(begun)
        busy = await until(lambda: busy_one(workers))
        await busy.kill()
        async with await asked as answer:
            assert answer.status == 200
            assert answer.headers["x-electrons-node"] != busy.node_id
            broken = await answer.json()
    assert broken["choices"] == whole["choices"]
    assert broken["usage"] == whole["usage"]
    assert await figure(gateway, "dispatch_resumed_total") == 1


async def busy_one(workers: dict[str, Daemon]) -> Daemon | None:
    for worker in workers.values():
        if (await worker.get("/api/node"))["in_flight"]:
            return worker
    return None


async def test_when_nobody_is_left_the_stream_says_so(fleet: Fleet) -> None:
    gateway, workers = fleet

    async def kill_all(node: str) -> None:
        await asyncio.gather(*(worker.kill() for worker in workers.values()))

    broken = await hear(gateway, after=10, do=kill_all, max_tokens=LENGTH)
    assert broken.error["type"] == "server_error"
    assert broken.error["code"] == "job_failed"
    assert not broken.done
    assert await figure(gateway, "dispatch_not_resumable_total") == 1
