"""One node's discovery on a memory network, and meshes of many."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from random import Random

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from dht.directory import Directory
from dht.kademlia import KademliaDirectory
from dht.neighbourhood import Neighbourhood
from mesh.capability import ModelRef, Role, ServedModel
from mesh.errors import LinkError
from mesh.identity.keys import NodeKey
from mesh.ids import MeshId, NodeId
from mesh.lifecycle import Tasks
from mesh.links.memory import LoopClock, MemoryLinks, MemoryNetwork
from mesh.links.trimming import surplus
from mesh.wire.frames import GoawayCode

MESH = MeshId("ab" * 20)


def served(name: str, *, slots: int = 1) -> ServedModel:
    """A model as a test node offers it."""
    return ServedModel(ModelRef(name=name, engine="demo"), slots=slots)


@dataclass
class DiscoveringNode:
    """Links, directory, table and neighbours of one node, wired as the daemon does."""

    key: NodeKey
    links: MemoryLinks
    tasks: Tasks
    directory: Directory
    kademlia: KademliaDirectory
    neighbourhood: Neighbourhood
    dialable: bool
    models: list[str] = field(default_factory=list)
    most_links: int = 0
    """The highest number of links this node was ever seen to have, once a second."""

    async def let_idle_links_go(self, most: int) -> None:
        """What the real pool does with links beyond `most` that nobody pinned."""
        while True:
            await asyncio.sleep(1.0)
            pinned = self.neighbourhood.neighbours
            spare = [link for link in self.links.all() if link.peer not in pinned]
            for link in surplus(spare, (), LoopClock().now(), most=max(0, most - len(pinned))):
                self.links._roster.retire(link, GoawayCode.IDLE, "it was not used")
            self.most_links = max(self.most_links, len(self.links.all()))

    @property
    def id(self) -> NodeId:
        return self.key.node_id

    def offer(self, *models: str, roles: Iterable[Role] = ("worker",)) -> None:
        """Serve exactly these models from now on."""
        self.models = list(models)
        record = self.directory.set_own(
            addresses=self.links.addresses if self.dialable else (),
            roles=tuple(roles),
            state="ready",
            models=[served(name) for name in models],
            version="test",
        )
        self.kademlia.offer(record)

    def knows(self) -> set[NodeId]:
        return {peer.record.node_id for peer in self.directory.view.peers()}

    async def dial(self, other: DiscoveringNode) -> None:
        await self.links.connect(other.id, other.links.addresses)

    async def leave(self) -> None:
        """Orderly, as on Ctrl-C."""
        await self.kademlia.close()
        await self.directory.close()
        await self.tasks.close()
        await self.links.close()


class DiscoveringMesh:
    """Many nodes of one network; ends whatever still runs."""

    def __init__(self, network: MemoryNetwork, *, seed: int = 0) -> None:
        self.network = network
        self.rng = Random(seed)
        self.nodes: list[DiscoveringNode] = []

    def start(
        self,
        *models: str,
        most: int = 2_000,
        target: int = 8,
        dialable: bool = True,
        mesh_id: MeshId = MESH,
        most_links: int = 16,
        roles: tuple[Role, ...] = ("worker",),
    ) -> DiscoveringNode:
        """A node that knows nobody yet; its roles count as granted."""
        key = NodeKey(Ed25519PrivateKey.from_private_bytes(self.rng.randbytes(32)))
        links = self.network.join(key.node_id, roles=roles, reachable=dialable)
        tasks, clock = Tasks(f"node {key.node_id[:8]}"), LoopClock()
        rng = Random(self.rng.random())
        hold: list[Neighbourhood] = []
        directory = Directory(
            key=key,
            mesh_id=mesh_id,
            boot=1,
            links=links,
            clock=clock,
            tasks=tasks,
            rng=rng,
            most=most,
            on_change=lambda node, peer: hold[0].wake(),
        )
        kademlia = KademliaDirectory(
            key=key, mesh_id=mesh_id, boot=1, links=links, clock=clock, tasks=tasks, rng=rng
        )
        neighbourhood = Neighbourhood(
            own=key.node_id,
            directory=directory,
            links=links,
            clock=clock,
            tasks=tasks,
            rng=rng,
            target=target,
        )
        hold.append(neighbourhood)
        node = DiscoveringNode(key, links, tasks, directory, kademlia, neighbourhood, dialable)
        node.offer(*models, roles=roles)
        directory.start()
        kademlia.start()
        neighbourhood.start()
        tasks.supervise(partial(node.let_idle_links_go, most_links), "idle")
        self.nodes.append(node)
        return node

    async def crash(self, node: DiscoveringNode) -> None:
        """Like kill -9."""
        self.nodes.remove(node)
        self.network.crash(node.id)
        await node.tasks.close()
        await node.links.close()

    async def close(self) -> None:
        for node in self.nodes:
            await node.tasks.close()
        for node in self.nodes:
            await node.links.close()


@asynccontextmanager
async def discovering_mesh(
    *, seed: int = 0, latency: float = 0.002, jitter: float = 0.0
) -> AsyncIterator[DiscoveringMesh]:
    """An empty mesh whose nodes are ended with the block."""
    network = MemoryNetwork(rng=Random(seed), latency=latency, jitter=jitter)
    mesh = DiscoveringMesh(network, seed=seed)
    try:
        yield mesh
    finally:
        await mesh.close()


async def until(condition: Callable[[], bool], *, timeout: float = 10.0) -> float:
    """Wait for a condition; returns the seconds it took. Raises TimeoutError."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.005)
    return loop.time() - started


async def try_dial(node: DiscoveringNode, other: DiscoveringNode) -> bool:
    """Whether a link came up."""
    try:
        await node.dial(other)
    except LinkError:
        return False
    return True
