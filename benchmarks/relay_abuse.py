"""What an honest node keeps when others flood its relay: `python -m benchmarks.relay_abuse`.

A relay that passes on so much a second, one node that is reached through it, and senders from hosts
of their own (addresses 127.0.x.1 of loopback). The honest one sends at a steady rate, first alone,
then among greedy ones that send all they can; both through circuits, both to the same node.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from benchmarks.relay_ends import BULK
from mesh.errors import LinkError
from mesh.identity.boot import Boot
from mesh.identity.keys import NodeKey
from mesh.identity.mesh import mesh_of_network
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.links.pipe import Address, Pipe, parse_address, relay_address
from mesh.links.pool import LinkPool
from mesh.links.relaying import RelayTerms
from mesh.links.tcp import TcpPipe
from mesh.ports import Link, Priority, Stream, StreamKind

RATE = 16 * 1024 * 1024
"""Bytes a second that the relay passes on in all."""
TARGET = 0.8
SETTLE_SECONDS = 2.0


@dataclass
class Received:
    """Bytes that the reached node got from each."""

    by: Counter[NodeId] = field(default_factory=Counter)

    async def swallow(self, link: Link, stream: Stream) -> None:
        while (message := await stream.receive()) is not None:
            self.by[link.peer] += len(message)


async def start_pool(
    stack: AsyncExitStack, host: str, *, relays: RelayTerms | None = None
) -> LinkPool:
    """A pool whose connections come from that host; only a relay listens."""
    pool = LinkPool(
        key=NodeKey.generate(),
        mesh_id=mesh_of_network("benchmark"),
        boot=Boot(1, ""),
        listen=(host, 0) if relays else None,
        relays=relays,
    )

    async def dial(address: Address) -> Pipe:
        loop = asyncio.get_running_loop()
        _, pipe = await loop.create_connection(
            TcpPipe, address.host, address.port, local_addr=(host, 0)
        )
        return pipe

    pool._outbound.dial = dial  # type: ignore[method-assign]
    await pool.start()
    stack.push_async_callback(pool.close)
    return pool


async def flood(pool: LinkPool, node: NodeId, address: str) -> None:
    """Send all that goes."""
    link = await pool.connect(node, [address])
    stream = link.open(StreamKind.JOB, priority=Priority.BULK)
    try:
        while True:
            await stream.send(BULK)
    except LinkError:
        return


async def trickle(pool: LinkPool, node: NodeId, address: str, rate: float) -> None:
    """Send at a steady rate, as an answer streams."""
    link = await pool.connect(node, [address])
    stream = link.open(StreamKind.JOB)
    due = asyncio.get_running_loop().time()
    while True:
        await stream.send(BULK)
        due += len(BULK) / rate
        await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))


async def run(abusers: int, seconds: float) -> dict[str, float]:
    """Goodputs in bytes a second."""
    received, tasks = Received(), Tasks("abuse")
    wanted = 0.8 * RATE / (abusers + 1)
    async with AsyncExitStack() as stack:
        relay = await start_pool(stack, "127.0.0.1", relays=RelayTerms(RATE))
        reached = await start_pool(stack, "127.0.1.1")
        reached.serve(StreamKind.JOB, received.swallow)
        await reached.relaying.path.reserve(await reached.connect(relay.node_id, relay.addresses))
        at = parse_address(relay.addresses[0])
        address = str(relay_address(at, relay.node_id, reached.node_id))
        honest = await start_pool(stack, "127.0.2.1")
        stack.push_async_callback(tasks.close)

        async def measure() -> dict[NodeId, float]:
            await asyncio.sleep(SETTLE_SECONDS)
            before = Counter(received.by)
            await asyncio.sleep(seconds)
            return {node: (received.by[node] - before[node]) / seconds for node in received.by}

        tasks.spawn(trickle(honest, reached.node_id, address, wanted), "honest")
        alone = (await measure())[honest.node_id]
        for number in range(abusers):
            greedy = await start_pool(stack, f"127.0.{number + 3}.1")
            tasks.spawn(flood(greedy, reached.node_id, address), "greedy")
        among = await measure()
    kept = among.pop(honest.node_id)
    return {
        "relay_rate": RATE,
        "abusers": abusers,
        "honest_alone": alone,
        "honest_among_them": kept,
        "kept": kept / alone,
        "abusers_in_all": sum(among.values()),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--abusers", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=8.0)
    args = parser.parse_args()
    report = asyncio.run(run(args.abusers, args.seconds))
    print(json.dumps({name: round(value, 3) for name, value in report.items()}, indent=1))
    return 0 if report["kept"] >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
