"""Nodes for `benchmarks.registry`: one coordinator, one gateway, or many workers in a process.

Each reads questions as lines of JSON and answers in kind. Workers are links with a record and a
load to tell; they keep no directory, of which two thousand would not fit on one machine.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from coordinator.registry.registry import Registry
from dht.directory import Directory
from dht.feed import LinkFeed
from mesh.capability import Load, ModelRef, NodeRecord, Role, ServedModel
from mesh.clock import SystemClock
from mesh.identity.boot import Boot
from mesh.identity.grants import encode_grant, issue_grant
from mesh.identity.keys import NodeKey, RootKey
from mesh.ids import MeshId, NodeId
from mesh.lifecycle import Tasks
from mesh.links.pool import MAX_LINKS, LinkPool
from mesh.links.reception import Introduction
from mesh.ports import Link, Stream, StreamKind
from mesh.wire.discovery import Digest, Listing, decode, encode
from mesh.wire.records import SignedNode, sign_node

TTL = 3_000.0
Answer = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
CLOCK = SystemClock()


def model(name: str) -> ServedModel:
    """A model as a worker offers it."""
    return ServedModel(ModelRef(name, "ollama", digest="ab" * 32, context=8_192), slots=2)


class FullNode:
    """Links, directory and registry, as the daemon wires them."""

    def __init__(self, mesh_id: MeshId, key: NodeKey, grant: bytes | None) -> None:
        roles: tuple[Role, ...] = ("coordinator",) if grant else ("gateway",)
        grants = () if grant is None else (grant,)
        self.tasks = Tasks("bench")
        self.links = LinkPool(
            key=key,
            mesh_id=mesh_id,
            boot=Boot(1, ""),
            introduce=lambda: Introduction(roles, grants, self.links.addresses, "bench"),
            listen=("127.0.0.1", 0),
            max_idle=MAX_LINKS,
        )
        self.directory = Directory(
            key=key,
            mesh_id=mesh_id,
            boot=1,
            links=self.links,
            clock=CLOCK,
            tasks=self.tasks,
            most=6_000,
        )
        self.registry = Registry(
            own=key.node_id,
            mesh_id=mesh_id,
            directory=self.directory,
            links=self.links,
            clock=CLOCK,
            tasks=self.tasks,
            coordinator=grant is not None,
        )
        self._roles = roles

    async def start(self) -> None:
        await self.links.start()
        self.directory.set_own(
            addresses=self.links.addresses,
            roles=self._roles,
            state="ready",
            models=(),
            version="bench",
        )
        self.directory.start()
        self.registry.start()


class Worker:
    """A link, a record, a load."""

    def __init__(self, mesh_id: MeshId, number: int) -> None:
        self.key = NodeKey.generate()
        self._mesh_id = mesh_id
        self._number = number
        self._seq = 0
        self._signed = self._sign()
        self.links = LinkPool(key=self.key, mesh_id=mesh_id, boot=Boot(1, ""))
        self.links.serve(StreamKind.DIRECTORY, drain)
        self.links.serve(StreamKind.STATUS, drain)

    def _sign(self) -> SignedNode:
        self._seq += 1
        record = NodeRecord(
            self.key.node_id,
            self._seq,
            time.time(),
            TTL,
            ("tcp://192.0.2.1:7718",),
            ("worker",),
            models=(model(f"model-{self._number % 50}"), model(f"own-{self._number}-{self._seq}")),
            version="1.0.0",
        )
        return sign_node(self.key, self._mesh_id, record)

    async def start(self, address: str, node: NodeId, tasks: Tasks) -> None:
        await self.links.start()
        link = await self.links.connect(node, (address,), timeout=20)
        self.feed = LinkFeed(link, lambda node: (TTL, self._signed.data), Load())
        tasks.spawn(self.feed.run_news(), "news")
        tasks.spawn(self.feed.run_load(), "load")
        self.feed.push_record(self.key.node_id)


async def drain(link: Link, stream: Stream) -> None:
    """Take what is pushed; there is nothing to compare."""
    while (data := await stream.receive()) is not None:
        if isinstance(decode(data), Digest):
            await stream.send(encode(Listing(())))
    stream.finish()


async def coordinator() -> None:
    """Founds a mesh and coordinates it."""
    root, key = RootKey.generate(), NodeKey.generate()
    roles: tuple[Role, ...] = ("coordinator",)
    grant = issue_grant(
        root,
        mesh_id=root.mesh_id,
        node_id=key.node_id,
        roles=roles,
        not_after=time.time() + 86_400,
    )
    node = FullNode(root.mesh_id, key, encode_grant(grant))
    await node.start()

    async def answer(question: dict[str, Any]) -> dict[str, Any]:
        return {"links": len(node.links.all())}

    hello = {"address": node.links.addresses[0], "node": key.node_id, "mesh": root.mesh_id}
    await converse(hello, answer)


async def gateway(address: str, node: NodeId, mesh_id: MeshId) -> None:
    """Follows the coordinator's registry."""
    me = FullNode(mesh_id, NodeKey.generate(), None)
    await me.start()
    await me.links.connect(node, (address,))
    seen: dict[str, tuple[float, int, int]] = {}
    me.directory.watch(
        lambda node, peer: seen.__setitem__(
            node, (CLOCK.now(), peer.load.in_flight, peer.record.seq) if peer else (0.0, 0, 0)
        )
    )

    async def answer(question: dict[str, Any]) -> dict[str, Any]:
        began = CLOCK.now()
        if "wait_for" in question:
            while len(me.directory.view.peers()) <= question["wait_for"]:
                await asyncio.sleep(0.1)
            return {"seconds": CLOCK.now() - began, "followed": len(me.registry.feed.following)}
        while True:
            at, in_flight, seq = seen.get(question["see"], (0.0, 0, 0))
            if at and in_flight == question.get("in_flight", in_flight):
                return {"at": at, "seq": seq}
            await asyncio.sleep(0.002)

    await converse({"node": me.links.node_id}, answer)


async def workers(address: str, node: NodeId, mesh_id: MeshId, count: int) -> None:
    """Many workers; told to change a load, or to let another one join."""
    tasks = Tasks("workers")
    crowd = [Worker(mesh_id, number) for number in range(count)]
    for worker in crowd:
        await worker.start(address, node, tasks)

    async def answer(question: dict[str, Any]) -> dict[str, Any]:
        if "load" in question:
            number = question["load"]
            worker, busy = crowd[number % len(crowd)], number + 1
            worker.feed.push_load(Load(in_flight=busy, slots=200))
            return {"node": worker.key.node_id, "at": CLOCK.now(), "in_flight": busy}
        newcomer = Worker(mesh_id, count + question["join"])
        began = CLOCK.now()
        await newcomer.start(address, node, tasks)
        crowd.append(newcomer)
        return {"node": newcomer.key.node_id, "at": began}

    await converse({"count": count}, answer)


async def converse(hello: dict[str, Any], answer: Answer) -> None:
    """Say hello, then answer a line at a time until there are no more."""
    print(json.dumps(hello), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await answer(json.loads(line))), flush=True)


def main() -> None:
    """`coordinator`, `gateway ADDRESS NODE MESH` or `workers ADDRESS NODE MESH COUNT`."""
    role, *rest = sys.argv[1:]
    if role == "coordinator":
        asyncio.run(coordinator())
        return
    address, node, mesh_id = rest[0], NodeId(rest[1]), MeshId(rest[2])
    if role == "gateway":
        asyncio.run(gateway(address, node, mesh_id))
    else:
        asyncio.run(workers(address, node, mesh_id, int(rest[3])))


if __name__ == "__main__":
    main()
