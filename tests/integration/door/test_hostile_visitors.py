"""Whoever comes to a door with nothing good in mind is sent away, and others go on."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp
import pytest

from mesh.links.pipe import CLOSE_PATIENCE
from tests.integration.door.doorway_mesh import DOMAIN, KEY, Behind, DoorMesh, kept
from tests.integration.door.visitor import (
    PATIENCE,
    SlowVisit,
    any_certificate,
    plain_visit,
    raw_visit,
)
from tests.integration.mesh.daemon import Daemon, until

IDLE = 1_000
"""Connections that say nothing."""
PIPELINED = 4
"""Requests sent at once, each answered with some 80 KB."""
LEFT_OVER = 110_000
"""Bytes that the keeper has read from the node, end included, and cannot get rid of."""


def request(url: str, path: str = "/health/live", *more: str) -> bytes:
    host = urlsplit(url).netloc
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", f"Authorization: Bearer {KEY}", *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def test_garbage_and_wrong_names_are_closed_and_who_leaves_is_forgotten(
    mesh: DoorMesh,
) -> None:
    keeper = await mesh.keeper()
    node = await (await mesh.behind(keeper)).open()
    for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-x\r\n", bytes(100), b"\x16\x03\x01\xff"):
        async with plain_visit(node.port) as visit:
            visit.writer.write(garbage + bytes(70_000))
            assert len(await visit.rest()) < 16, "at most an alert"
    for name in (f"nobody.{DOMAIN}", "alice.example.org", DOMAIN, "localhost"):
        with pytest.raises(ssl.SSLError, match="unrecognized name"):
            await asyncio.open_connection(
                "127.0.0.1", node.port, ssl=any_certificate(), server_hostname=name
            )
    assert (await node.visit("/health"))[0] == 200
    assert (await kept(keeper))["waiting"] == 0
    await leave(node, keeper)


async def test_a_thousand_silent_connections_are_bounded(mesh: DoorMesh) -> None:
    keeper = await mesh.keeper()
    node = await (await mesh.behind(keeper)).open()
    async with silent(node.port, IDLE) as visits:
        assert (await node.visit("/health"))[0] == 200, "others are served meanwhile"

        async def forgotten() -> bool:
            return bool((await kept(keeper))["waiting"] == 0)

        await until(forgotten)
        async with asyncio.timeout(PATIENCE):
            ends = await asyncio.gather(*(reader.read() for reader in visits))
        assert set(ends) == {b""}


async def test_a_client_that_reads_slowly_gets_all_of_it(mesh: DoorMesh) -> None:
    """The node has closed long before the client takes what the keeper still holds."""
    keeper = await mesh.keeper()
    node = await (await mesh.behind(keeper)).open()
    ask, last = (request(node.url, "/openapi.json", *more) for more in ((), ("Connection: close",)))
    async with SlowVisit(node.url) as visit:
        await visit.send(ask * (PIPELINED - 1) + last)
        while (size := visit.received.find(b"HTTP/1.1 200", 1)) < 0:
            await visit.receive()
        while len(visit.received) < PIPELINED * size - LEFT_OVER:
            await visit.receive()
        await asyncio.sleep(CLOSE_PATIENCE + 0.5)  # this is how slow the client is
        while await visit.receive():
            continue
    received = bytes(visit.received)
    sizes = re.findall(rb"content-length: (\d+)", received)
    assert len(sizes) == PIPELINED
    assert received.count(b"\r\n\r\n") == PIPELINED
    bodies = sum(len(each.partition(b"\r\n\r\n")[2]) for each in received.split(b"HTTP/1.1 ")[1:])
    assert bodies == sum(map(int, sizes))


async def test_a_taken_name_goes_to_nobody_else(mesh: DoorMesh) -> None:
    keeper = await mesh.keeper()
    first = await (await mesh.behind(keeper, "--public-name", "chat")).open()
    second = await mesh.behind(keeper, "--public-name", "chat")

    async def told() -> bool:
        return "another node holds that name" in (await second.facts())["reason"]

    await until(told)
    assert "another node holds that name" in str(await notes(second.daemon))
    assert (await first.visit("/health"))[0] == 200


async def leave(node: Behind, keeper: Daemon) -> None:
    """A client that leaves is forgotten on both sides."""
    async with raw_visit(node.url) as visit:
        visit.writer.write(request(node.url))
        await visit.until(b"\r\n\r\n")
        assert (await kept(keeper))["connections"] == 1
        assert (await node.facts())["connections"] == 1

    async def forgotten() -> bool:
        here, there = await kept(keeper), await node.facts()
        return bool(here["connections"] == there["connections"] == 0)

    await until(forgotten)


async def notes(daemon: Daemon) -> list[str]:
    url, headers = f"{daemon.http}/api/node", {"authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession(headers=headers) as local, local.get(url) as answer:
        return list((await answer.json())["notes"])


@asynccontextmanager
async def silent(port: int, count: int) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Connections that say nothing."""
    opened: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    try:
        for _ in range(count):
            opened.append(await asyncio.open_connection("127.0.0.1", port))
        yield [reader for reader, _ in opened]
    finally:
        for _, writer in opened:
            with contextlib.suppress(ConnectionError):
                writer.transport.abort()
