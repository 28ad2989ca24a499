"""A blob on a slow line: control messages overtake it, and nobody is taken for dead."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from mesh.links.vigil import DEAD_AFTER
from mesh.ports import Link, Priority, Stream, StreamKind
from tests.integration.links.peers import MakePool, echo

RATE = 625_000
"""Bytes a second: 5 Mbit/s."""
PIECE = 8192
BUFFER = 32 * 1024


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(PIECE):
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(len(data) / RATE)
    writer.close()


@pytest.fixture
async def narrow() -> AsyncIterator[dict[str, int]]:
    """A line of 5 Mbit/s each way; set `target` before dialling `port`."""
    line: dict[str, int] = {}
    passing: set[asyncio.Task[None]] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        near = (reader, writer)
        far = await asyncio.open_connection("127.0.0.1", line["target"], limit=BUFFER)
        passing.add(asyncio.current_task())  # type: ignore[arg-type]
        async with asyncio.TaskGroup() as group:
            group.create_task(_pass_on(near[0], far[1]))
            group.create_task(_pass_on(far[0], near[1]))

    listener = socket.socket()
    # Small buffers: a slow router keeps little, and what it cannot keep waits at the sender.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    listener.bind(("127.0.0.1", 0))
    server = await asyncio.start_server(carry, sock=listener, limit=BUFFER)
    line["port"] = listener.getsockname()[1]
    yield line
    server.close()
    if passing:
        await asyncio.wait(passing, timeout=2)


async def test_a_blob_at_five_megabits_does_not_make_a_healthy_peer_look_dead(
    make_pool: MakePool, narrow: dict[str, int]
) -> None:
    a, b = await make_pool(), await make_pool()
    narrow["target"] = b.port
    b.serve(StreamKind.DHT, echo)
    received = 0

    async def swallow(link: Link, stream: Stream) -> None:
        nonlocal received
        while (message := await stream.receive()) is not None:
            received += len(message)

    b.serve(StreamKind.BLOB, swallow)
    link = await a.connect(None, [f"tcp://127.0.0.1:{narrow['port']}"])
    blob = link.open(StreamKind.BLOB, priority=Priority.BULK)
    size = int(RATE * (DEAD_AFTER + 1.0))

    async def send_blob() -> None:
        for _ in range(size // 10_000):
            await blob.send(b"x" * 10_000)
        blob.finish()
        assert await blob.receive() is None

    answered = 0
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        sending = group.create_task(send_blob())
        while not sending.done():
            # Everything queued in front of it would take four seconds.
            assert await link.call(StreamKind.DHT, b"x", timeout=1.5) == b"x"
            answered += 1
    assert received == size // 10_000 * 10_000
    assert answered > 5
    assert not link.closed
    await a.close()
    await b.close()
