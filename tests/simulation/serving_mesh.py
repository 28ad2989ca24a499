"""A gateway and workers over the in-memory network: real dispatch, hosts and links, no sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from mesh.capability import Load, ModelRef, NodeRecord, Peer, ServedModel
from mesh.errors import EngineError
from mesh.ids import JobId, NodeId
from mesh.jobs import Chunk, Finish, JobSpec, Usage
from mesh.lifecycle import Tasks
from mesh.links.memory import LoopClock, MemoryLinks, MemoryNetwork
from mesh.ports import Link, Principal, Provider, Request, Stream, StreamKind
from mesh.wire.jobs import Offer
from node.dispatch.mesh_dispatch import MeshDispatch
from node.settling import Settling
from services.engines.engine import Engine, Event
from services.host import Host

MODEL = ModelRef("m", "test")


class WordsEngine:
    """Says the numbers from 0, one every `pace` seconds; `fails` before the first or at one."""

    name = "words"

    def __init__(self, *, pace: float = 0.1, count: int = 5, fails_at: int | None = None) -> None:
        self.pace = pace
        self.count = count
        self.fails_at = fails_at
        self.running = 0
        self.started = 0

    async def run(self, job: JobSpec, model: ModelRef) -> AsyncGenerator[Event, None]:
        self.running += 1
        self.started += 1
        try:
            for number in range(self.count):
                await asyncio.sleep(self.pace)
                if number == self.fails_at:
                    raise EngineError("out of memory")
                yield Chunk(f"{number} ")
            yield Finish(("stop",), Usage(1, self.count))
        finally:
            self.running -= 1


class Shelf:
    """One engine, one model: what a catalog would say."""

    def __init__(self, engine: Any = None, slots: int = 1, model: ModelRef = MODEL) -> None:
        self.engine = engine
        self.slots = slots
        self.model = model

    def find(self, model: str) -> tuple[Engine, ModelRef, int] | None:
        return (self.engine, self.model, self.slots) if self.engine and model == "m" else None

    def models(self) -> tuple[ServedModel, ...]:
        return (ServedModel(self.model, self.slots),) if self.engine else ()

    def observe(self, model: ModelRef, tokens: int, seconds: float) -> None:
        """Nothing is learned here."""

    def withdraw(self, engine: Engine, reason: str) -> None:
        """Nothing is withdrawn: the dispatcher has to cope by itself."""


class ListedView:
    """A view that is what the test says."""

    def __init__(self) -> None:
        self.listed: dict[NodeId, Provider] = {}

    def peers(self) -> Sequence[Peer]:
        return [provider.peer for provider in self.listed.values()]

    def providers(self, model: str) -> Sequence[Provider]:
        return [p for p in self.listed.values() if p.model.ref.name == model]

    def draw(self, model: str, most: int, rng: Random) -> tuple[Sequence[Provider], int]:
        found = self.providers(model)
        return rng.sample(found, min(most, len(found))), len(found)

    def provider(self, model: str, node: NodeId) -> Provider | None:
        found = self.listed.get(node)
        return found if found is not None and found.model.ref.name == model else None

    def models(self) -> Sequence[Provider]:
        return list(self.listed.values())

    def seen_lately(self, model: str) -> bool:
        return False


Serve = Callable[[Link, Stream], Awaitable[None]]


class ServingMesh:
    """Made by `serving_mesh`; workers are added by the story."""

    def __init__(
        self, network: MemoryNetwork, tasks: Tasks, seed: int, own: Shelf, settling: Settling | None
    ) -> None:
        self.network = network
        self.tasks = tasks
        self.view = ListedView()
        self.gateway = network.join()
        self.nodes: list[MemoryLinks] = [self.gateway]
        self.host = self._host(own)
        self.dispatch = MeshDispatch(
            node_id=self.gateway.node_id,
            links=self.gateway,
            view=self.view,
            lookup=None,
            catalog=own,
            host=self.host,
            aliases={"nick": "m"},
            clock=LoopClock(),
            tasks=tasks,
            rng=Random(seed),
            settling=settling,
        )
        self.dispatch.start()

    def add_worker(
        self, engine: Any, *, slots: int = 1, queue_limit: int = 8, model: ModelRef = MODEL
    ) -> NodeId:
        """A node that serves "m" by a real host."""
        host = self._host(Shelf(engine, slots, model), queue_limit)
        return self.add_node(host.serve, slots=slots, model=model)

    def add_node(self, serve: Serve, *, slots: int = 1, model: ModelRef = MODEL) -> NodeId:
        """A node that claims to serve "m" and does what `serve` does with offers."""
        links = self.network.join()
        self.nodes.append(links)
        links.serve(StreamKind.JOB, serve)
        record = NodeRecord(links.node_id, 1, 0.0, 60.0, links.addresses, ("worker",), "ready")
        served = ServedModel(model, slots)
        peer = Peer(record, Load(slots=slots, job_seconds=0.5), 0.001, True)
        self.view.listed[links.node_id] = Provider(peer, served)
        return links.node_id

    async def ask(self, *, deadline: float = 10.0, model: str = "m") -> tuple[str, NodeId, int]:
        """One whole answer: its text, who gave it, and after how many attempts."""
        run = await self.dispatch.submit(make_job(model), make_request(deadline))
        try:
            text = [event.text async for event in run.events() if isinstance(event, Chunk)]
            return "".join(text), run.node, run.attempts
        finally:
            await run.close()

    def host_of(self, engine: Any, *, slots: int = 1, model: ModelRef = MODEL) -> Host:
        """A host for `add_node`, for stories that stand between it and the gateway."""
        return self._host(Shelf(engine, slots, model))

    def offer_of(self, job: JobSpec) -> Offer:
        """What the gateway would send for a job."""
        request = make_request()
        return Offer(
            job_id=request.job_id,
            attempt=1,
            origin=self.gateway.node_id,
            tenant="tenant",
            privacy="public",
            priority=0,
            deadline=request.deadline,
            hops=1,
            job=job,
        )

    def _host(self, shelf: Shelf, queue_limit: int = 8) -> Host:
        host = Host(engines=shelf, clock=LoopClock(), tasks=self.tasks, queue_limit=queue_limit)
        host.start()
        return host


def make_job(model: str = "m") -> JobSpec:
    return JobSpec("chat", model, ({"role": "user", "content": "count"},), stream=True)


def make_request(deadline: float = 10.0) -> Request:
    return Request(JobId("0" * 32), Principal("tenant"), deadline)


@asynccontextmanager
async def serving_mesh(
    seed: int = 0, *, own: Shelf | None = None, settling: Settling | None = None
) -> AsyncIterator[ServingMesh]:
    """A gateway, usually without an engine of its own, 1 ms away from everybody."""
    tasks = Tasks("serving mesh")
    network = MemoryNetwork(rng=Random(seed), latency=0.001)
    mesh = ServingMesh(network, tasks, seed, own or Shelf(), settling)
    try:
        yield mesh
    finally:
        await tasks.close()
        for links in mesh.nodes:
            await links.close()
