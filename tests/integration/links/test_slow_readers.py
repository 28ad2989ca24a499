"""Somebody who does not read costs little and holds nobody else back. Counted, not timed."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest

from mesh.ports import Link, Priority, Stream, StreamKind
from mesh.wire.frames import (
    DATA,
    INITIAL_CREDIT,
    MAX_UNSENT,
    MAX_UNSENT_STREAM,
    OPEN,
    encode_frame,
)
from tests.integration.links.peers import DialRaw, MakePool, echo

CHUNK = b"x" * 400


async def test_fifty_streams_go_on_while_one_reader_stands_still(make_pool: MakePool) -> None:
    gateway, worker = await make_pool(), await make_pool()
    pulled = 0

    async def generate(link: Link, stream: Stream) -> None:
        nonlocal pulled
        endless = await stream.receive() == b"endless"
        if not endless:
            for _ in range(100):
                await stream.send(CHUNK)
            return
        while True:
            await stream.send(CHUNK)
            pulled += len(CHUNK)

    worker.serve(StreamKind.JOB, generate)
    link = await gateway.connect(None, worker.addresses)
    slow = link.open(StreamKind.JOB)
    await slow.send(b"endless")

    async def read_all() -> int:
        stream = link.open(StreamKind.JOB)
        await stream.send(b"hundred")
        count = 0
        while await stream.receive() is not None:
            count += 1
        return count

    async with asyncio.timeout(20):
        counts = await asyncio.gather(*(read_all() for _ in range(50)))
    assert counts == [100] * 50
    stopped_at = -1
    async with asyncio.timeout(5):
        while pulled != stopped_at:
            stopped_at = pulled
            assert await read_all() == 100
    assert await read_all() == 100
    assert pulled == stopped_at  # its engine is no longer pulled
    assert pulled <= INITIAL_CREDIT + MAX_UNSENT_STREAM
    assert link.multiplexer.unread <= INITIAL_CREDIT
    slow.reset()


async def test_a_slow_reader_gets_everything_in_the_end(make_pool: MakePool) -> None:
    gateway, worker = await make_pool(), await make_pool()

    async def generate(link: Link, stream: Stream) -> None:
        for number in range(2000):
            await stream.send(b"%04d" % number + CHUNK)

    worker.serve(StreamKind.JOB, generate)
    link = await gateway.connect(None, worker.addresses)
    stream = link.open(StreamKind.JOB)
    seen = []
    while (message := await stream.receive()) is not None:
        seen.append(int(message[:4]))
        if len(seen) % 500 == 0:
            await asyncio.sleep(0.02)
    assert seen == list(range(2000))


async def test_a_peer_that_reads_nothing_at_all_costs_a_bounded_amount(
    make_pool: MakePool,
    raw_peer: DialRaw,
) -> None:
    pool = await make_pool()
    sent = 0

    async def flood(link: Link, stream: Stream) -> None:
        nonlocal sent
        while True:
            await stream.send(CHUNK * 10)
            sent += len(CHUNK) * 10

    pool.serve(StreamKind.JOB, flood)
    pool.serve(StreamKind.DHT, echo)
    peer = await raw_peer(pool)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    peer.pause_reading()
    streams = 100
    peer.send(*(encode_frame(OPEN, 2 * n + 1, int(StreamKind.JOB), 1) for n in range(streams)))
    (link,) = pool.all()
    settled = -1
    async with asyncio.timeout(10):
        while settled != sent or sent == 0:
            settled = sent
            await asyncio.sleep(0.05)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert link.multiplexer.unsent <= MAX_UNSENT + streams * len(CHUNK) * 10
    assert held - before < 3 * MAX_UNSENT
    other = await make_pool()
    there = await other.connect(None, pool.addresses)
    assert await there.call(StreamKind.DHT, b"free", timeout=2) == b"free"


@pytest.mark.parametrize("priority", list(Priority))
async def test_bulk_does_not_make_a_peer_look_dead(make_pool: MakePool, priority: Priority) -> None:
    a, b = await make_pool(), await make_pool()
    a.serve(StreamKind.DHT, echo)
    b.serve(StreamKind.DHT, echo)
    received = 0

    async def swallow(link: Link, stream: Stream) -> None:
        nonlocal received
        while (message := await stream.receive()) is not None:
            received += len(message)

    b.serve(StreamKind.BLOB, swallow)
    link = await a.connect(None, b.addresses)
    blob = link.open(StreamKind.BLOB, priority=priority)
    calls = 0
    for _ in range(20):
        await blob.send(b"x" * 1_000_000)
        assert await link.call(StreamKind.DHT, b"x", timeout=2) == b"x"
        calls += 1
    blob.finish()
    async with asyncio.timeout(10):
        assert await blob.receive() is None
    assert received == 20_000_000
    assert calls == 20


async def test_a_peer_that_ignores_credit_is_cut_off(
    make_pool: MakePool, raw_peer: DialRaw
) -> None:
    pool = await make_pool()
    peer = await raw_peer(pool)
    pool.serve(StreamKind.JOB, _never_read)
    peer.send(encode_frame(OPEN, 1, int(StreamKind.JOB), 1))
    frame = encode_frame(DATA, 1, 0, b"x" * 10_000)
    for _ in range(INITIAL_CREDIT // 10_000 + 2):
        peer.send(frame)
    async with asyncio.timeout(2):
        await peer.lost.wait()
    assert pool.metrics.links_closed == {"protocol": 1}


async def _never_read(link: Link, stream: Stream) -> None:
    await asyncio.Event().wait()
