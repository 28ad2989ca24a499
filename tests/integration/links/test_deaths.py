"""A peer's process dies, stops or leaves: how soon the others know, and what they are told."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mesh.errors import LinkClosed
from mesh.links.link import MeshLink
from mesh.links.vigil import DEAD_AFTER, TICK
from mesh.ports import StreamKind
from mesh.wire.frames import PING
from tests.integration.links.peers import DialRaw, MakePool, echo, eventually

ROOT = Path(__file__).parents[3]


@pytest.fixture
async def node() -> AsyncIterator[tuple[Process, str]]:
    """A node in a process of its own, and its address."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.integration.links.echo_node",
        stdin=PIPE,
        stdout=PIPE,
        cwd=ROOT,
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        address = (await process.stdout.readline()).decode().strip()
    yield process, address
    if process.returncode is None:
        process.send_signal(signal.SIGCONT)
        process.kill()
    await process.wait()
    process._transport.close()  # type: ignore[attr-defined]


async def ended(link: MeshLink, within: float) -> float:
    """Seconds until the link has ended."""
    began = time.monotonic()
    await eventually(lambda: link.closed, within)
    return time.monotonic() - began


async def test_a_killed_process_is_noticed_at_once(
    make_pool: MakePool, node: tuple[Process, str]
) -> None:
    process, address = node
    pool = await make_pool()
    link = await pool.connect(None, [address])
    stream = link.open(StreamKind.JOB)
    await stream.send(b"x")
    assert await stream.receive() == b"x"
    process.kill()
    with pytest.raises(LinkClosed) as closed:
        async with asyncio.timeout(1.0):
            await stream.receive()
    assert closed.value.cause == "crash"
    assert pool.get(link.peer) is None
    assert pool.metrics.links_closed == {"crash": 1}


async def test_a_stopped_process_is_noticed_by_its_silence(
    make_pool: MakePool, node: tuple[Process, str]
) -> None:
    process, address = node
    pool = await make_pool()
    link = await pool.connect(None, [address])
    assert await link.call(StreamKind.DHT, b"x", timeout=2) == b"x"
    process.send_signal(signal.SIGSTOP)
    assert await ended(link, within=2.5) >= 0.7
    assert link.ended is not None
    assert link.ended.cause == "silence"


async def test_a_process_that_leaves_says_goodbye(
    make_pool: MakePool, node: tuple[Process, str]
) -> None:
    process, address = node
    pool = await make_pool()
    link = await pool.connect(None, [address])
    assert process.stdin is not None
    process.stdin.close()
    await ended(link, within=2.0)
    assert link.ended is not None
    assert link.ended.cause == "clean"


async def test_an_idle_link_stays_and_is_cheap(
    make_pool: MakePool, node: tuple[Process, str]
) -> None:
    _, address = node
    pool = await make_pool()
    link = await pool.connect(None, [address])
    assert await link.call(StreamKind.DHT, b"x", timeout=2) == b"x"
    before = pool.metrics.bytes_in + pool.metrics.bytes_out
    seconds = DEAD_AFTER + 1.0
    began = time.monotonic()
    await eventually(lambda: time.monotonic() - began > seconds)
    assert not link.closed
    # Two small records a second; 5 kB/s is what a node with many links may use.
    assert pool.metrics.bytes_in + pool.metrics.bytes_out - before < seconds * 200
    assert pool.metrics.pings <= seconds / (DEAD_AFTER / 2) + 2


async def test_a_peer_that_answers_no_ping_is_given_up(
    make_pool: MakePool, raw_peer: DialRaw
) -> None:
    pool = await make_pool()
    peer = await raw_peer(pool)
    (link,) = pool.all()
    await ended(link, within=DEAD_AFTER + 4 * TICK)
    assert link.ended is not None
    assert link.ended.cause == "silence"
    assert [frame[0] for frame in peer.received].count(PING) == 1


async def test_a_node_that_was_asleep_accuses_nobody(make_pool: MakePool) -> None:
    awake, asleep = await make_pool(), await make_pool()
    awake.serve(StreamKind.DHT, echo)
    link = await asleep.connect(None, awake.addresses)
    # Both share this loop, so neither can hear the other while it is blocked.
    time.sleep(DEAD_AFTER + 0.5)
    assert await link.call(StreamKind.DHT, b"still there", timeout=2) == b"still there"
    assert not link.closed
