"""What daemons say of their reach, and what follows from it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.integration.mesh.daemon import Daemon, Daemons, until


@pytest.fixture
async def daemons(tmp_path: Path) -> AsyncIterator[Daemons]:
    running = Daemons(tmp_path)
    yield running
    await running.stop()


async def figure(daemon: Daemon, name: str) -> float:
    """One of its metrics."""
    url = daemon.http + "/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        lines = (await answer.text()).splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(f"electrons_{name} "))


async def test_daemons_of_one_machine_are_local_and_a_private_one_serves_no_table(
    daemons: Daemons,
) -> None:
    first = await daemons.start("--engine", "none")
    shy = await daemons.start("--engine", "none", "--reach", "private", join=first)

    async def local() -> bool:
        return bool((await first.get("/api/node"))["reach"]["state"] == "local")

    await until(local)
    reach = (await shy.get("/api/node"))["reach"]
    assert (reach["state"], reach["addresses"]) == ("private", [])
    assert await figure(first, "reach_questions_total") >= 1
    assert await figure(shy, "dial_back_reached_total") >= 1
    assert await figure(first, "dht_contacts") == 0
    open_ = await daemons.start("--engine", "none", join=first)

    async def served() -> bool:
        return await figure(first, "dht_contacts") == 1

    await until(served)
    told = {each["node_id"]: each for each in (await first.get("/api/peers"))["peers"]}
    for peer in (shy, open_):
        assert told[peer.node_id]["addresses"] == [f"tcp://{peer.mesh}"]
