"""A mesh with coordinators: every node follows their registry as the daemon does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random

from coordinator.registry.feed import RegistryFeed
from coordinator.registry.known_nodes import KnownNodes
from coordinator.registry.server import RegistryServer
from mesh.capability import Load
from mesh.ids import NodeId
from mesh.links.memory import LoopClock, MemoryNetwork
from tests.simulation.discovering_node import MESH, DiscoveringMesh, DiscoveringNode


@dataclass
class RegisteredNode:
    """A node with its feed, and its server if it is a coordinator."""

    node: DiscoveringNode
    known: KnownNodes
    feed: RegistryFeed
    server: RegistryServer | None

    @property
    def id(self) -> NodeId:
        return self.node.id

    def routes(self, model: str) -> set[NodeId]:
        """Who serves the model, as this node's request path sees it."""
        return {each.peer.record.node_id for each in self.node.directory.view.providers(model)}

    def load_of(self, node: NodeId) -> Load | None:
        peer = self.node.directory.view.peer(node)
        return None if peer is None else peer.load


class RegisteringMesh:
    """Starts workers, gateways and coordinators of one network."""

    def __init__(self, mesh: DiscoveringMesh, most: int) -> None:
        self.mesh = mesh
        self._most = most

    def start(self, *models: str, coordinator: bool = False) -> RegisteredNode:
        """A node whose directory has room for `most` others; a coordinator's has for all."""
        node = self.mesh.start(
            *models,
            most=5_000 if coordinator else self._most,
            target=4,
            most_links=1_000 if coordinator else 12,
            roles=("worker", "coordinator") if coordinator else ("gateway", "worker"),
        )
        clock = LoopClock()
        known = KnownNodes(own=node.id, directory=node.directory, clock=clock)
        feed = RegistryFeed(
            own=node.id,
            mesh_id=MESH,
            known=known,
            links=node.links,
            clock=clock,
            tasks=node.tasks,
            coordinator=coordinator,
        )
        feed.start()
        server = None
        if coordinator:
            server = RegistryServer(
                own=node.id,
                directory=node.directory,
                known=known,
                links=node.links,
                clock=clock,
                tasks=node.tasks,
            )
            server.start()
        return RegisteredNode(node, known, feed, server)

    async def crash(self, node: RegisteredNode) -> None:
        await self.mesh.crash(node.node)


@asynccontextmanager
async def registering_mesh(*, seed: int, most: int = 2_000) -> AsyncIterator[RegisteringMesh]:
    """An empty mesh whose ordinary nodes' directories hold `most` nodes."""
    network = MemoryNetwork(rng=Random(seed), latency=0.002, jitter=0.001)
    mesh = DiscoveringMesh(network, seed=seed)
    try:
        yield RegisteringMesh(mesh, most)
    finally:
        await mesh.close()
