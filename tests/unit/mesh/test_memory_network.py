"""The weather of the in-memory network: late, lost, cut and frozen, always from a seed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

import pytest

from mesh.errors import DialError, LinkClosed
from mesh.links.memory import SILENCE, MemoryLinks, MemoryNetwork
from mesh.ports import Link, Stream, StreamKind


async def echo(link: Link, stream: Stream) -> None:
    while (message := await stream.receive()) is not None:
        await stream.send(message)


async def pair(network: MemoryNetwork) -> tuple[MemoryLinks, MemoryLinks]:
    a, b = network.join(), network.join()
    b.serve(StreamKind.DHT, echo)
    await a.connect(b.node_id, b.addresses)
    return a, b


async def leave(*nodes: MemoryLinks) -> None:
    for node in nodes:
        await node.close()


async def eventually(condition: Callable[[], object], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


async def test_latency_is_paid_both_ways() -> None:
    network = MemoryNetwork(latency=0.02)
    a, b = await pair(network)
    link = a.all()[0]
    began = asyncio.get_running_loop().time()
    assert await link.call(StreamKind.DHT, b"x", timeout=2) == b"x"
    assert asyncio.get_running_loop().time() - began >= 0.04
    assert link.rtt is not None
    assert link.rtt >= 0.04
    await leave(a, b)


async def test_loss_and_jitter_delay_but_keep_order() -> None:
    network = MemoryNetwork(rng=Random(4), jitter=0.002, loss=0.02)
    a, b = await pair(network)
    stream = a.all()[0].open(StreamKind.DHT)
    for number in range(100):
        await stream.send(b"%d" % number)
        if number % 10 == 0:
            await asyncio.sleep(0)
    assert [await stream.receive() for _ in range(100)] == [b"%d" % n for n in range(100)]
    await leave(a, b)


async def test_the_same_seed_gives_the_same_network() -> None:
    first, second = (MemoryNetwork(rng=Random(9), jitter=1.0) for _ in range(2))
    assert first.join().node_id == second.join().node_id
    assert [first.delay() for _ in range(5)] == [second.delay() for _ in range(5)]


async def test_a_crash_breaks_links_and_refuses_dials() -> None:
    network = MemoryNetwork()
    a, b = await pair(network)
    link = a.all()[0]
    network.crash(b.node_id)
    await eventually(lambda: link.closed)
    assert link.ended is not None
    assert link.ended.cause == "crash"
    with pytest.raises(DialError):
        await a.connect(b.node_id, b.addresses)
    await leave(a, b)


async def test_a_partition_ends_links_by_silence_and_heals() -> None:
    network = MemoryNetwork()
    a, b = await pair(network)
    link = a.all()[0]
    network.partition([a.node_id], [b.node_id])
    with pytest.raises(DialError):
        await a.connect(network.join().node_id, b.addresses, timeout=0.01)
    with pytest.raises(LinkClosed):
        await link.call(StreamKind.DHT, b"x", timeout=SILENCE + 1)
    assert link.ended is not None
    assert link.ended.cause == "silence"
    assert a.all() == b.all() == []
    network.heal()
    again = await a.connect(b.node_id, b.addresses)
    assert await again.call(StreamKind.DHT, b"x", timeout=2) == b"x"
    await leave(a, b)


async def test_a_short_partition_only_holds_bytes_up() -> None:
    network = MemoryNetwork()
    a, b = await pair(network)
    link = a.all()[0]
    await asyncio.sleep(0)
    network.partition([a.node_id], [b.node_id])
    stream = link.open(StreamKind.DHT)
    await stream.send(b"held")
    await asyncio.sleep(0.03)
    network.heal()
    async with asyncio.timeout(2):
        assert await stream.receive() == b"held"
    await leave(a, b)


async def test_who_cannot_be_reached_can_still_dial_and_be_served() -> None:
    network = MemoryNetwork()
    hidden, public = network.join(reachable=False), network.join()
    hidden.serve(StreamKind.JOB, echo)
    with pytest.raises(DialError):
        await public.connect(hidden.node_id, hidden.addresses)
    await hidden.connect(public.node_id, public.addresses)
    back = public.get(hidden.node_id)
    assert back is not None
    assert await back.call(StreamKind.JOB, b"job", timeout=2) == b"job"
    await leave(hidden, public)


async def test_a_hundred_nodes_on_one_hub() -> None:
    network = MemoryNetwork()
    hub = network.join()
    hub.serve(StreamKind.DHT, echo)
    nodes = [network.join() for _ in range(100)]
    links = [await node.connect(hub.node_id, hub.addresses) for node in nodes]
    answers = await asyncio.gather(*(link.call(StreamKind.DHT, b"x", timeout=5) for link in links))
    assert answers == [b"x"] * 100
    assert len(hub.all()) == 100
    await leave(hub, *nodes)
