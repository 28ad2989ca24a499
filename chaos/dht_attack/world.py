"""Five hundred tables, some of them hostile: honest nodes publish, look up, and are counted."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chaos.dht_attack.adversary import Adversary, Strategy
from chaos.dht_attack.network import End, Network
from dht.defences import Defences
from dht.kademlia import KademliaDirectory
from dht.networks import network_of
from mesh.capability import ModelRef, NodeRecord, ServedModel
from mesh.identity.keys import NodeKey
from mesh.ids import MeshId, NodeId
from mesh.lifecycle import Tasks
from mesh.links.memory import LoopClock
from mesh.wire import dht
from mesh.wire.dht_records import (
    DhtRecord,
    SignedDhtRecord,
    pack_offering,
    sign_dht,
    table_key,
)

MESH = MeshId("ad" * 20)
KNOWN = 0.7
"""Share of the other honest nodes that each has heard of, besides the nearest to it."""
NEAREST = 20
FIND_TIMEOUT = 15.0
PUBLISH_TIMEOUT = 120.0


@dataclass
class HonestNode:
    """A real table on a simulated network."""

    key: NodeKey
    end: End
    tasks: Tasks
    table: KademliaDirectory
    model: str = ""

    @property
    def id(self) -> NodeId:
        return self.key.node_id

    def offer(self, model: str = "") -> None:
        """Serve the table, and a model."""
        self.model = model
        self.table.offer(offering_of(self.id, self.end.address, model))

    def hear(self, other: End) -> None:
        """Another node has come by and said that it serves the table."""
        other.link(self.end)
        self.table._calls.heard(self.end.all()[-1], dht.Self(True, (other.address,)))


def offering_of(node: NodeId, address: str, model: str) -> NodeRecord:
    """What a node says of itself."""
    models = (ServedModel(ModelRef(model, "demo"), slots=1),) if model else ()
    return NodeRecord(node, 1, 0.0, 900.0, (address,), (), "ready", models)


def signed_offering(key: NodeKey, address: str, model: str, seq: int) -> SignedDhtRecord:
    """A record that a node could have published."""
    node = offering_of(key.node_id, address, model)
    record = DhtRecord(
        kind="model",
        key=table_key("model", model),
        node=key.node_id,
        seq=seq,
        issued_at=LoopClock().wall(),
        ttl=1800.0,
        body=pack_offering(model, node, node.models[0]),
    )
    return sign_dht(key, MESH, record)


class World:
    """Honest nodes, an adversary, and what came of it."""

    def __init__(self, *, honest: int, defences: Defences, strategy: Strategy, seed: int) -> None:
        self.rng = Random(seed)
        self.network = Network(Random(seed + 1))
        self.adversary = Adversary(self.network, Random(seed + 2), strategy)
        self._defences = defences
        self.nodes = [self._start() for _ in range(honest)]
        self.began = time.perf_counter()

    def _start(self) -> HonestNode:
        key = self.new_key()
        end, tasks = self.network.join(key.node_id), Tasks("attacked")
        table = KademliaDirectory(
            key=key,
            mesh_id=MESH,
            boot=1,
            links=end,
            clock=LoopClock(),
            tasks=tasks,
            rng=Random(self.rng.random()),
            defences=self._defences,
        )
        node = HonestNode(key, end, tasks, table)
        node.offer()
        table.start()
        return node

    def new_key(self) -> NodeKey:
        return NodeKey(Ed25519PrivateKey.from_private_bytes(self.rng.randbytes(32)))

    def fill_tables(self) -> None:
        """Every hostile node calls on every honest one; honest ones know some of each other.

        In random order, so that nobody was there first.
        """
        self.adversary.honest = [(node.id, node.end.address) for node in self.nodes]
        for node in self.nodes:
            others = [each for each in self.nodes if each is not node]
            own = int(node.id, 16)
            near = sorted(others, key=lambda each: int(each.id, 16) ^ own)[:NEAREST]
            some = self.rng.sample(others, int(KNOWN * len(others)))
            callers = list({each.id: each.end for each in near + some}.values())
            callers += self.adversary.ends
            self.rng.shuffle(callers)
            for each in callers:
                node.hear(each)

    async def settle(self, nodes: Sequence[HonestNode]) -> None:
        """Nodes look for their neighbours, as each does when its table has grown."""
        await asyncio.gather(*(node.table._find_neighbourhood() for node in nodes))

    async def publish(self, providers: Sequence[HonestNode]) -> None:
        """Each provider offers a model of its own; returns when all were stored somewhere."""
        for node in providers:
            node.offer(f"model of {node.id}")
        async with asyncio.timeout(PUBLISH_TIMEOUT):
            while not all(node.table.counters.published for node in providers):
                await asyncio.sleep(0.1)

    async def look_up(self, asker: HonestNode, provider: HonestNode) -> bool:
        """Whether the asker finds the provider where it is now."""
        found = await asker.table.find_providers(provider.model, timeout=FIND_TIMEOUT)
        return any(
            each.node_id == provider.id and each.addresses == (provider.end.address,)
            for each in found
        )

    def most_hostile_in_a_bucket(self) -> int:
        """The most hostile contacts of one /24 that any bucket of any honest table has."""
        where = {each.node: network_of(each.address) for each in self.adversary.ends}
        most = 0
        for node in self.nodes:
            for bucket in node.table._server.table.buckets:
                found = [where[each.node] for each in bucket.nodes.values() if each.node in where]
                networks = Counter(each.narrow for each in found if each is not None)
                most = max([most, *networks.values()])
        return most

    async def close(self) -> None:
        for node in self.nodes:
            await node.tasks.close()
