"""Real nodes of the discovery layers: sockets on 127.0.0.1, TLS, nothing faked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from random import Random

import pytest_asyncio

from dht.bootstrap import Bootstrap
from dht.directory import Directory
from dht.edge_client import EdgeClient
from dht.join_address import JoinAddress
from dht.kademlia import KademliaDirectory
from dht.mdns import Mdns
from dht.neighbourhood import Neighbourhood
from dht.remembered import RememberedPeers
from mesh.capability import ModelRef, ServedModel
from mesh.clock import SystemClock
from mesh.identity.boot import Boot
from mesh.identity.keys import NodeKey
from mesh.ids import MeshId, NodeId
from mesh.lifecycle import Tasks
from mesh.links.pool import LinkPool

MESH = MeshId("ab" * 20)
OTHER_MESH = MeshId("cd" * 20)


@dataclass
class RealNode:
    """One node's links and discovery, wired as the daemon does."""

    key: NodeKey
    mesh_id: MeshId
    links: LinkPool
    tasks: Tasks
    directory: Directory
    table: KademliaDirectory
    neighbourhood: Neighbourhood
    bootstrap: Bootstrap | None = None

    @property
    def id(self) -> NodeId:
        return self.key.node_id

    @property
    def address(self) -> JoinAddress:
        return JoinAddress(self.links.addresses[0], self.id)

    def offer(self, *models: str) -> None:
        """Serve exactly these models from now on."""
        served = [ServedModel(ModelRef(name, "demo"), slots=1) for name in models]
        record = self.directory.set_own(
            addresses=self.links.addresses,
            roles=("worker",),
            state="ready",
            models=served,
            version="test",
        )
        self.table.offer(record)

    def knows(self) -> set[NodeId]:
        return {peer.record.node_id for peer in self.directory.view.peers()}

    def look_for_peers(
        self,
        *addresses: JoinAddress,
        remembered: RememberedPeers | None = None,
        mdns: bool = False,
        edges: Sequence[str] = (),
        dns_names: Sequence[JoinAddress] = (),
    ) -> Bootstrap:
        """Start on the ladder."""
        self.bootstrap = Bootstrap(
            own=self.id,
            links=self.links,
            directory=self.directory,
            tasks=self.tasks,
            addresses=addresses,
            remembered=remembered,
            mdns=Mdns(own=self.id, mesh_id=self.mesh_id, tasks=self.tasks) if mdns else None,
            edges=[EdgeClient(url, mesh_id=self.mesh_id, own=self.id) for url in edges],
            dns_names=dns_names,
            rng=Random(1),
        )
        self.bootstrap.start()
        return self.bootstrap

    async def crash(self) -> None:
        """End without a word to anybody."""
        await self.tasks.close()
        for link in self.links.all():
            link.give_up()
        await self.close()

    async def leave(self) -> None:
        """End in order."""
        await self.table.close()
        await self.directory.close()
        await self.close()

    async def close(self) -> None:
        if self.bootstrap is not None:
            await self.bootstrap.close()
        await self.tasks.close()
        await self.links.close()


StartNode = Callable[..., "asyncio.Future[RealNode]"]


class RealMesh:
    """Starts nodes and ends whatever still runs."""

    def __init__(self) -> None:
        self.nodes: list[RealNode] = []

    async def start(self, *models: str, mesh_id: MeshId = MESH, port: int = 0) -> RealNode:
        """A node that listens and knows nobody."""
        key, clock, rng = NodeKey.generate(), SystemClock(), Random(len(self.nodes))
        tasks = Tasks(f"node {len(self.nodes)}")
        links = LinkPool(
            key=key, mesh_id=mesh_id, boot=Boot(1, "00" * 8), listen=("127.0.0.1", port)
        )
        await links.start()
        directory = Directory(
            key=key,
            mesh_id=mesh_id,
            boot=1,
            links=links,
            clock=clock,
            tasks=tasks,
            rng=rng,
            on_change=lambda *_: neighbourhood.wake(),
        )
        table = KademliaDirectory(
            key=key, mesh_id=mesh_id, boot=1, links=links, clock=clock, tasks=tasks, rng=rng
        )
        neighbourhood = Neighbourhood(
            own=key.node_id, directory=directory, links=links, clock=clock, tasks=tasks, rng=rng
        )
        node = RealNode(key, mesh_id, links, tasks, directory, table, neighbourhood)
        node.offer(*models)
        directory.start()
        table.start()
        neighbourhood.start()
        self.nodes.append(node)
        return node

    async def close(self) -> None:
        for node in self.nodes:
            await node.close()


@pytest_asyncio.fixture
async def mesh() -> AsyncIterator[RealMesh]:
    """An empty mesh."""
    started = RealMesh()
    yield started
    await started.close()


async def until(condition: Callable[[], bool], *, timeout: float = 10.0) -> None:
    """Wait for a condition. Raises TimeoutError."""
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.01)
