"""A worker that is a real node to everybody, links, records, engine and all, and answers badly."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

from dht.directory import Directory
from mesh.capability import ModelRef, ServedModel
from mesh.clock import SystemClock
from mesh.errors import LinkError
from mesh.identity.boot import Boot
from mesh.identity.keys import NodeKey
from mesh.ids import MeshId, NodeId
from mesh.lifecycle import Tasks
from mesh.links.pool import LinkPool
from mesh.ports import Link, Stream, StreamKind
from services.engines.demo.engine import DemoEngine
from services.engines.demo.facts import FOLDER, describe, read_facts
from services.engines.engine import Engine
from services.host import Host
from tests.integration.mesh.daemon import Daemon

SLOTS = 8
RATE = 40.0
"""Tokens a second, as the honest workers of these tests."""

Spoil = Callable[[Stream], Stream]
"""Puts something between the worker and the gateway."""


class Shelf:
    """The demo engine alone: what a catalog would say."""

    def __init__(self) -> None:
        self.engine = DemoEngine(slots=SLOTS, rate=RATE)
        self.model = describe(read_facts(FOLDER))

    def find(self, model: str) -> tuple[Engine, ModelRef, int] | None:
        return (self.engine, self.model, SLOTS) if model == self.model.name else None

    def observe(self, model: ModelRef, tokens: int, seconds: float) -> None:
        """Nothing is learned here."""

    def withdraw(self, engine: Engine, reason: str) -> None:
        """Nothing is withdrawn: the gateway has to cope by itself."""


class HostileWorker:
    """Serves offers with a real host, through whatever `spoil` is at the time."""

    def __init__(self, host: Host, links: LinkPool) -> None:
        self.links = links
        self.spoil: Spoil = lambda stream: stream
        self.offers = 0
        self._host = host

    async def serve(self, link: Link, stream: Stream) -> None:
        self.offers += 1
        await self._host.serve(link, self.spoil(stream))

    async def meet(self, *daemons: Daemon) -> None:
        for daemon in daemons:
            await self.links.connect(NodeId(daemon.node_id), [f"tcp://{daemon.mesh}"])


@asynccontextmanager
async def hostile_worker(mesh_id: MeshId) -> AsyncIterator[HostileWorker]:
    """A node of this test's own process. It knows nobody until it has met somebody."""
    key, clock, tasks, shelf = NodeKey.generate(), SystemClock(), Tasks("hostile"), Shelf()
    links = LinkPool(key=key, mesh_id=mesh_id, boot=Boot(1, "66" * 8), listen=("127.0.0.1", 0))
    await links.start()
    directory = Directory(
        key=key, mesh_id=mesh_id, boot=1, links=links, clock=clock, tasks=tasks, rng=Random(1)
    )
    directory.set_own(
        addresses=links.addresses,
        roles=("worker",),
        state="ready",
        models=[ServedModel(shelf.model, SLOTS)],
        version="test",
    )
    host = Host(engines=shelf, clock=clock, tasks=tasks, queue_limit=SLOTS)
    worker = HostileWorker(host, links)
    links.serve(StreamKind.JOB, worker.serve)
    host.start()
    directory.start()
    try:
        yield worker
    finally:
        await directory.close()
        await tasks.close()
        await links.close()
        await shelf.engine.close()


class RepeatedStream:
    """Everything that was sent is sent once more when the last word has been said."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.sent: list[bytes] = []
        self.repeated = 0

    async def send(self, message: bytes) -> None:
        self.sent.append(message)
        await self.stream.send(message)

    async def repeat(self) -> None:
        """Harmless when the gateway has ended the stream: that it may."""
        try:
            for message in self.sent:
                await self.stream.send(message)
                self.repeated += 1
        except LinkError:
            return

    async def receive(self) -> bytes | None:
        return await self.stream.receive()

    def finish(self) -> None:
        """Never: it goes on sending."""

    def reset(self, code: int = 0, reason: str = "") -> None:
        self.stream.reset(code, reason)

    def on_failure(self, callback: Callable[[], object]) -> None:
        self.stream.on_failure(callback)
