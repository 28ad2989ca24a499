"""Coordinators and nodes over the in-memory network: real assignment, catalogs and links."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from random import Random

from coordinator.assignment.service import AssignmentService
from mesh.capability import NodeRecord, Peer, Resources, Role, Runnable
from mesh.coverage import CoverageReport
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.links.memory import LoopClock, MemoryLinks, MemoryNetwork
from mesh.ports import Provider, StreamKind
from mesh.targets import ServiceTarget
from node.coverage import AssignmentDoor, CoverageDesk
from services.activation import Activation
from services.catalog import Catalog
from services.engines.engine import Engine
from services.startable import Startable
from tests.unit.services.scripted_engine import ScriptedEngine

GIB = 2**30


class SeenView:
    """What every node's directory would show: all that live, but oneself."""

    def __init__(self, mesh: AssigningMesh, own: NodeId) -> None:
        self._mesh = mesh
        self._own = own

    def peers(self) -> Sequence[Peer]:
        return [Peer(one) for one in self._mesh.records() if one.node_id != self._own]

    def models(self) -> Sequence[Provider]:
        return [Provider(peer, one) for peer in self.peers() for one in peer.record.models]


class AssignedNode:
    """One node: a catalog, what it could start, and perhaps a coordinator's part."""

    def __init__(
        self, mesh: AssigningMesh, models: Collection[str], roles: tuple[Role, ...], memory: int
    ) -> None:
        self.mesh = mesh
        self.links: MemoryLinks = mesh.network.join(roles=roles)
        self.node_id = self.links.node_id
        self.roles = roles
        self.alive = True
        self.term: int | None = None
        self.made: list[ScriptedEngine] = []
        self.busy: set[str] = set()
        self._tasks = Tasks(f"node {self.node_id[:4]}")
        self.catalog = Catalog(
            engines=[], aliases={}, clock=LoopClock(), tasks=self._tasks, rng=mesh.rng
        )
        self.activation = Activation(
            shelf=self.catalog,
            busy_with=lambda engine: int(engine.name in self.busy),
            available_memory=lambda: 64 * GIB,
            clock=LoopClock(),
            tasks=self._tasks,
        )
        self.activation.hold([self._startable(one) for one in models], Resources(4.0, memory * GIB))
        self.service = AssignmentService(
            own=self.node_id,
            links=self.links,
            targets=lambda: mesh.targets,
            nodes=mesh.records,
            leading=lambda: self.term,
            obey_here=self.activation.obey,
            clock=LoopClock(),
            tasks=self._tasks,
        )
        report = self.service.report if "coordinator" in roles else None
        self.desk = CoverageDesk(
            own=self.node_id,
            links=self.links,
            view=SeenView(mesh, self.node_id),
            own_models=self.catalog.models,
            report=report,
        )
        door = AssignmentDoor(obey=self.activation.obey, report=self.desk.own_report)
        self.links.serve(StreamKind.ASSIGNMENT, door.serve)
        self.catalog.on_change(mesh.changed)

    async def start(self) -> None:
        await self.catalog.start()
        if "coordinator" in self.roles:
            self.service.start()

    def record(self) -> NodeRecord:
        return NodeRecord(
            self.node_id,
            1,
            0.0,
            60.0,
            self.links.addresses,
            self.roles,
            models=self.catalog.models(),
            resources=self.activation.resources,
            runnable=self.activation.runnable(),
        )

    def served(self) -> list[str]:
        return sorted(one.ref.name for one in self.catalog.models())

    def lead(self, term: int | None) -> None:
        self.term = term
        self.service.wake()

    async def stop(self) -> None:
        self.alive = False
        await self.catalog.close()
        await self._tasks.close()

    def _startable(self, model: str) -> Startable:
        def make(card: int | None) -> Engine:
            engine = ScriptedEngine(f"test:{model}", model)
            self.made.append(engine)
            return engine

        return Startable(Runnable(model, "scripted", GIB), make)


class AssigningMesh:
    """Made by `assigning_mesh`."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.network = MemoryNetwork(rng=self.rng, latency=0.005)
        self.targets: tuple[ServiceTarget, ...] = ()
        self.nodes: list[AssignedNode] = []

    async def join(
        self, *models: str, roles: tuple[Role, ...] = ("worker",), memory: int = 8
    ) -> AssignedNode:
        """A node that could start these models, each of 1 GiB."""
        node = AssignedNode(self, models, roles, memory)
        self.nodes.append(node)
        await node.start()
        self.changed()
        return node

    async def crash(self, node: AssignedNode) -> None:
        self.network.crash(node.node_id)
        await node.stop()
        self.changed()

    def ask_for(self, *targets: ServiceTarget) -> None:
        self.targets = targets
        self.changed()

    def records(self) -> Sequence[NodeRecord]:
        return [node.record() for node in self.nodes if node.alive]

    def providers(self, model: str) -> int:
        return sum(model in node.served() for node in self.nodes if node.alive)

    def changed(self) -> None:
        for node in self.nodes:
            node.service.wake()


def models_of(report: CoverageReport) -> dict[str, str]:
    return {each.service or each.model: each.level for each in report.services}


async def until(condition: Callable[[], object], seconds: float = 30.0) -> float:
    """Virtual seconds until the condition held."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not condition():
        if loop.time() - began > seconds:
            raise AssertionError(f"still not true after {seconds} s")
        await asyncio.sleep(0.05)
    return loop.time() - began


@asynccontextmanager
async def assigning_mesh(seed: int = 0) -> AsyncIterator[AssigningMesh]:
    """Nobody is there yet."""
    mesh = AssigningMesh(seed)
    try:
        yield mesh
    finally:
        for node in mesh.nodes:
            if node.alive:
                await node.stop()
                await node.links.close()
