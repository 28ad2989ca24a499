"""A gateway that was killed serves the mesh's models from its first request on."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import aiohttp

from tests.integration.mesh.daemon import Daemon, Daemons, until_model

BODY = {"model": "demo", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}


async def ask_as_soon_as_it_listens(url: str) -> tuple[int, str]:
    """Status and body of the first request that is taken at all."""
    end = time.monotonic() + 20.0
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.post(f"{url}/v1/chat/completions", json=BODY) as answer:
                    return answer.status, await answer.text()
            except aiohttp.ClientConnectorError:
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(0.005)


async def check_restart(daemons: Daemons, gateway: Daemon, folder: Path, *more: str) -> None:
    """Kill the gateway, start it again, and ask before it has had the time to look around."""
    await gateway.kill()
    address = gateway.http.removeprefix("http://")
    where = ("--data-dir", str(folder), "--http", address, "--engine", "none", *more)
    asking = asyncio.ensure_future(ask_as_soon_as_it_listens(gateway.http))
    await daemons.start(*where)
    status, text = await asking
    assert status == 200, text


async def test_a_killed_gateway_knows_its_mesh_again_before_it_answers(
    daemons: Daemons, tmp_path: Path
) -> None:
    worker = await daemons.start("--engine", "demo")
    join = f"{worker.node_id}@{worker.mesh}"
    gateway = await daemons.start("--engine", "none", join=worker)
    await until_model(gateway, "demo")
    await check_restart(daemons, gateway, tmp_path / "node-1", "--join", join)


async def test_so_does_one_that_was_joined_by_others_a_few_seconds_ago(
    daemons: Daemons, tmp_path: Path
) -> None:
    gateway = await daemons.start("--engine", "none")
    await daemons.start("--engine", "demo", join=gateway)
    await until_model(gateway, "demo")
    peers = tmp_path / "node-0" / "peers.json"
    async with asyncio.timeout(10.0):
        while not peers.exists():
            await asyncio.sleep(0.05)
    await check_restart(daemons, gateway, tmp_path / "node-0")
