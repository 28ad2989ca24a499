"""Two pipes made one, over real sockets: order, backpressure, ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial

import pytest

from mesh.links.pipe import Pipe, parse_address
from mesh.links.splice import Splice
from mesh.links.tcp import dial_tcp, listen_tcp

SIZE = 4 * 1024 * 1024
End = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def note(
    arrived: asyncio.Queue[End], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    arrived.put_nowait((reader, writer))


@dataclass
class Spliced:
    """Two outside ends, and the splice between the other two."""

    left: End
    right: End
    splice: Splice
    sizes: list[int] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)


@pytest.fixture
async def spliced() -> AsyncIterator[Spliced]:
    async with contextlib.AsyncExitStack() as stack:
        ends, pipes = [], []
        for _ in range(2):
            arrived: asyncio.Queue[End] = asyncio.Queue()
            server = await asyncio.start_server(partial(note, arrived), "127.0.0.1", 0)
            stack.push_async_callback(server.wait_closed)
            stack.callback(server.close)
            port = server.sockets[0].getsockname()[1]
            pipes.append(await dial_tcp(parse_address(f"127.0.0.1:{port}")))
            end = await arrived.get()
            stack.callback(end[1].close)
            ends.append(end)
        sizes: list[int] = []
        over = asyncio.Event()

        def ended(size: int) -> None:
            sizes.append(size)
            over.set()

        splice = Splice(pipes[0], pipes[1], toll=lambda size: 0.0, ended=ended)
        splice.start(b"early ", b"")
        yield Spliced(ends[0], ends[1], splice, sizes, over)
        splice.cut()


async def test_all_arrives_in_order_both_ways(spliced: Spliced) -> None:
    data = bytes(range(256)) * (SIZE // 256)

    async def pass_on(writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> bytes:
        writer.write(data)
        await writer.drain()
        return await reader.readexactly(SIZE)

    assert await spliced.right[0].readexactly(6) == b"early "
    async with asyncio.timeout(20):
        there, back = await asyncio.gather(
            pass_on(spliced.left[1], spliced.right[0]), pass_on(spliced.right[1], spliced.left[0])
        )
    assert there == back == data
    assert spliced.splice.size == 2 * SIZE + 6


async def test_a_slow_reader_holds_the_sender_and_not_memory(spliced: Spliced) -> None:
    """What nobody reads stays with the sender: in sockets, a few buffers, nothing more."""
    spliced.left[1].transport.set_write_buffer_limits(64 * 1024)
    sent = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1.0):
            while sent < 64 * SIZE:
                spliced.left[1].write(bytes(64 * 1024))
                await spliced.left[1].drain()
                sent += 64 * 1024
    assert sent < 64 * SIZE
    passed = spliced.splice.size
    assert passed < 8 * SIZE
    async with asyncio.timeout(10):
        while spliced.splice.size <= passed:
            await spliced.right[0].read(1 << 20)


async def test_one_end_closes_and_the_other_gets_what_was_sent(spliced: Spliced) -> None:
    spliced.left[1].write(b"last words")
    spliced.left[1].close()
    async with asyncio.timeout(5):
        assert await spliced.right[0].read() == b"early last words"
        await spliced.over.wait()
    assert spliced.sizes == [16]


async def test_an_idle_splice_is_cut(spliced: Spliced, monkeypatch: pytest.MonkeyPatch) -> None:
    spliced.splice._check_idle()  # something has passed since the last look
    assert not spliced.over.is_set()
    spliced.splice._check_idle()
    assert spliced.over.is_set()


async def test_the_other_end_of_a_listening_pipe_is_spliced_alike() -> None:
    arrived: list[Pipe] = []
    server = await listen_tcp("127.0.0.1", 0, arrived.append)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    again, other = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(5):
        while len(arrived) < 2:
            await asyncio.sleep(0)
    over = asyncio.Event()
    splice = Splice(arrived[0], arrived[1], toll=lambda size: 0.01, ended=lambda size: over.set())
    splice.start()
    for number in range(20):
        writer.write(b"%02d" % number)
    async with asyncio.timeout(5):
        assert await again.readexactly(40) == b"".join(b"%02d" % number for number in range(20))
    splice.cut()
    assert over.is_set()
    for each in (writer, other):
        each.close()
        with contextlib.suppress(ConnectionError):
            await each.wait_closed()
    server.close()
    await server.wait_closed()
    del reader
