"""The ends of `chaos.relay_speed` and `chaos.hole_punching`: a relay, a server, and a client.

Each is a link pool in a process of its own that reads questions as lines of JSON; clients measure.
"""

from __future__ import annotations

import asyncio
import sys
import time
from statistics import median
from typing import Any

from benchmarks.registry_nodes import converse
from mesh.errors import LinkError
from mesh.identity.boot import Boot
from mesh.identity.keys import NodeKey
from mesh.identity.mesh import mesh_of_network
from mesh.ids import NodeId
from mesh.links.link import MeshLink
from mesh.links.pool import LinkPool
from mesh.links.reception import Introduction
from mesh.links.relaying import RelayTerms
from mesh.ports import Link, Priority, Stream, StreamKind

MESSAGE = b"x" * 200
BULK = b"y" * 16_000
UNLIMITED = 1e12
"""Bytes a second: what the processor can do is measured, not what an owner allows."""
ECHOES = 300


def pool_at(address: str, *, relays: bool) -> LinkPool:
    """A pool that listens on a free port of this machine's address."""
    return LinkPool(
        key=NodeKey.generate(),
        mesh_id=mesh_of_network("benchmark"),
        boot=Boot(1, ""),
        introduce=lambda: Introduction(("relay",) if relays else ()),
        listen=(address, 0),
        relays=RelayTerms(rate=UNLIMITED) if relays else None,
        punch=True,
    )


async def echo_or_swallow(link: Link, stream: Stream) -> None:
    """Short messages come back; of long ones the last is followed by how many bytes there were."""
    size = 0
    while (message := await stream.receive()) is not None:
        if len(message) == len(MESSAGE):
            await stream.send(message)
        size += len(message)
    await stream.send(str(size).encode())
    stream.finish()


async def relay(address: str) -> None:
    """Relays for everybody, as fast as it can."""
    pool = pool_at(address, relays=True)
    pool.serve(StreamKind.JOB, echo_or_swallow)
    await pool.start()

    async def answer(question: dict[str, Any]) -> dict[str, Any]:
        desk = pool.relaying.desk
        assert desk is not None
        return {"circuits": desk.circuits, "cpu": time.process_time()}

    await converse({"node": pool.node_id, "address": pool.addresses[0]}, answer)


async def server(address: str) -> None:
    """Is reached directly, and through the relay that it is told of."""
    pool = pool_at(address, relays=False)
    pool.serve(StreamKind.JOB, echo_or_swallow)
    await pool.start()

    async def answer(question: dict[str, Any]) -> dict[str, Any]:
        link = await pool.connect(NodeId(question["relay"]), (question["address"],))
        pool.pin(link.peer)
        await pool.relaying.path.reserve(link)
        return {"reserved": True}

    await converse({"node": pool.node_id, "address": pool.addresses[0]}, answer)


async def client(address: str) -> None:
    """Measures the way to a node by an address, over a link made for it."""

    async def answer(question: dict[str, Any]) -> dict[str, Any]:
        pool = pool_at(address, relays=False)
        await pool.start()
        try:
            began = time.perf_counter()
            link = await pool.connect(NodeId(question["node"]), (question["address"],))
            connected = time.perf_counter() - began
            if "punch" in question:
                return await punch(pool, link, question["seconds"])
            echoes = await time_echoes(link)
            rate = await measure_rate(link, question["seconds"])
            return {"connect_s": connected, "echo_s": echoes, "bytes_per_s": rate}
        finally:
            await pool.close()

    await converse({"ready": True}, answer)


async def punch(pool: LinkPool, link: MeshLink, seconds: float) -> dict[str, Any]:
    """Make the relayed link direct; how long that took and how fast it is, or why it failed."""
    began = time.perf_counter()
    try:
        direct = await pool.punching.punch(link)
    except LinkError as error:
        return {"failed": str(error), "after_s": time.perf_counter() - began}
    took = time.perf_counter() - began
    echoes = await time_echoes(direct)
    rate = await measure_rate(direct, seconds) if seconds else 0.0
    return {"punched_s": took, "echo_s": echoes, "bytes_per_s": rate}


async def time_echoes(link: Link) -> float:
    """Seconds there and back of a short message, median."""
    stream = link.open(StreamKind.JOB, priority=Priority.CONTROL)
    times = []
    for _ in range(ECHOES):
        began = time.perf_counter()
        await stream.send(MESSAGE)
        await stream.receive()
        times.append(time.perf_counter() - began)
    stream.reset()
    return median(times)


async def measure_rate(link: Link, seconds: float) -> float:
    """Bytes a second of one stream, counted when the far end has all."""
    stream = link.open(StreamKind.JOB, priority=Priority.BULK)
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        await stream.send(BULK)
    stream.finish()
    size = int(await stream.receive() or b"0")
    return size / (time.perf_counter() - began)


ENDS = {"relay": relay, "server": server, "client": client}

if __name__ == "__main__":
    asyncio.run(ENDS[sys.argv[1]](sys.argv[2]))
