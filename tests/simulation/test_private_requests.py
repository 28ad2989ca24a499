"""No node sees a request that it may not see: random meshes, and faults put in on purpose."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from random import Random

import pytest

from mesh.capability import Role
from mesh.errors import JobError, ModelUnavailable
from mesh.ids import NodeId
from mesh.jobs import Chunk, Privacy
from mesh.links.memory import LoopClock
from mesh.ports import Resumed
from mesh.privacy import Circle, refuse_private
from node.dispatch.confidants import Confidants
from node.dispatch.mesh_dispatch import MeshDispatch
from services.host import Host
from tests.simulation.serving_mesh import (
    MODEL,
    ServingMesh,
    Shelf,
    WordsEngine,
    make_job,
    make_request,
    serving_mesh,
)
from tests.simulation.virtual_time import run_virtual

WORKER: frozenset[Role] = frozenset({"worker"})
CLASSES: tuple[Privacy, ...] = ("public", "trusted", "own")
RESUMABLE = replace(MODEL, features=("resume",))


@dataclass
class Worker:
    """What is true of one worker, whatever anybody believes."""

    node: NodeId
    engine: WordsEngine
    host: Host
    sees: frozenset[Privacy]


class Blind(Confidants):
    """Planted fault: the gateway's filter is off."""

    def may_see(self, node: NodeId, privacy: Privacy) -> bool:
        return True

    def of(self, node: NodeId) -> Privacy:
        return "own"

    def check(self, node: NodeId, privacy: Privacy) -> None:
        """Never objects."""


class PrivateMesh:
    """A gateway whose owner lists some workers, of which some list it, and some have grants."""

    def __init__(self, mesh: ServingMesh, *, founded: bool, blind: bool, deaf: bool) -> None:
        """`blind`: the gateway filters nothing; `deaf`: the workers refuse nothing."""
        self.mesh = mesh
        self.founded = founded
        self._deaf = deaf
        self._blind = blind
        self.workers: dict[NodeId, Worker] = {}
        self.granted: dict[NodeId, Collection[Role]] = {}
        self.listed: set[NodeId] = set()

    def add(self, *, listed: bool, lists: bool, granted: bool, pace: float = 0.01) -> Worker:
        """A worker that serves the model. Only a mutual listing makes it the owner's."""
        engine = WordsEngine(pace=pace)
        own = frozenset({self.mesh.gateway.node_id} if lists else ())
        here = WORKER if granted else frozenset[Role]()

        def refusal(origin: NodeId, privacy: Privacy) -> str:
            circle = Circle(worker.node, own, self.founded)
            return "" if self._deaf else circle.refusal(origin, privacy, here)

        shelf = Shelf(engine, 4, RESUMABLE)
        host = Host(
            engines=shelf,
            clock=LoopClock(),
            tasks=self.mesh.tasks,
            queue_limit=8,
            refusal=refusal,
        )
        host.start()
        node = self.mesh.add_node(host.serve, slots=4, model=RESUMABLE)
        sees: set[Privacy] = {"public"}
        if (granted and self.founded) or (listed and lists):
            sees.add("trusted")
        if listed and lists:
            sees.add("own")
        worker = Worker(node, engine, host, frozenset(sees))
        self.workers[node] = worker
        self.granted[node] = here
        self.listed |= {node} if listed else set()
        return worker

    def dispatch(self) -> MeshDispatch:
        """The gateway's, once all workers are there."""
        circle = Circle(self.mesh.gateway.node_id, frozenset(self.listed), self.founded)
        make: Callable[..., Confidants] = Blind if self._blind else Confidants
        made = MeshDispatch(
            node_id=self.mesh.gateway.node_id,
            links=self.mesh.gateway,
            view=self.mesh.view,
            lookup=None,
            catalog=Shelf(),
            host=self.mesh.host,
            aliases={},
            clock=LoopClock(),
            tasks=self.mesh.tasks,
            rng=Random(7),
            confidants=make(circle, self._granted_of, tuple),
        )
        made.start()
        return made

    def _granted_of(self, node: NodeId) -> Collection[Role] | None:
        linked = self.mesh.gateway.get(node) is not None
        return self.granted.get(node, ()) if linked else None

    async def ask(self, dispatch: MeshDispatch, privacy: Privacy, model: str = "m") -> str:
        """Run one request; the class of error that it ended with, or "". Then see who saw it."""
        before = {node: worker.engine.started for node, worker in self.workers.items()}
        failed = ""
        try:
            run = await dispatch.submit(make_job(model), replace(make_request(), privacy=privacy))
            async for _ in run.events():
                continue
            await run.close()
        except JobError as error:
            assert isinstance(error, ModelUnavailable), error
            failed = str(error)
        for node, worker in self.workers.items():
            seen = worker.engine.started > before[node]
            assert not seen or privacy in worker.sees, f"{node[:8]} saw a {privacy} request"
        return failed


@asynccontextmanager
async def private_mesh(
    seed: int, *, founded: bool = True, blind: bool = False, deaf: bool = False
) -> AsyncIterator[PrivateMesh]:
    async with serving_mesh(seed) as mesh:
        yield PrivateMesh(mesh, founded=founded, blind=blind, deaf=deaf)


async def live(seed: int, *, blind: bool = False, deaf: bool = False) -> None:
    """A random mesh and every class of request; each is served exactly when somebody may."""
    rng = Random(seed)
    async with private_mesh(seed, founded=rng.random() < 0.7, blind=blind, deaf=deaf) as private:
        for _ in range(rng.randrange(1, 20)):
            listed, lists, granted = (rng.random() < share for share in (0.3, 0.4, 0.4))
            private.add(listed=listed, lists=lists, granted=granted)
        dispatch = private.dispatch()
        for model in ("m", "auto"):
            for privacy in CLASSES:
                failed = await private.ask(dispatch, privacy, model)
                somebody = any(privacy in worker.sees for worker in private.workers.values())
                assert (failed == "") == somebody, failed
                assert somebody or f"'{privacy}'" in failed


@pytest.mark.parametrize("seed", range(40))
def test_nobody_sees_what_he_may_not(seed: int) -> None:
    run_virtual(live(seed))


@pytest.mark.parametrize("seed", range(10))
def test_workers_refuse_what_a_gateway_without_a_filter_offers_them(seed: int) -> None:
    """The second lock holds alone."""

    async def story() -> None:
        async with private_mesh(seed, blind=True) as private:
            for _ in range(6):
                private.add(listed=False, lists=False, granted=False)
            dispatch = private.dispatch()
            for privacy in ("trusted", "own"):
                failed = await private.ask(dispatch, privacy)
                assert f"'{privacy}'" in failed
            assert sum(worker.host.counters.refused for worker in private.workers.values()) == 12

    run_virtual(story())


@pytest.mark.parametrize("seed", range(10))
def test_a_gateway_does_not_offer_what_careless_workers_would_take(seed: int) -> None:
    """The first lock holds alone."""

    async def story() -> None:
        async with private_mesh(seed, deaf=True) as private:
            for _ in range(6):
                private.add(listed=False, lists=True, granted=False)
            dispatch = private.dispatch()
            assert "'own'" in await private.ask(dispatch, "own")
            assert "'trusted'" in await private.ask(dispatch, "trusted")
            assert await private.ask(dispatch, "public") == ""

    run_virtual(story())


def test_with_both_locks_off_the_test_above_finds_it() -> None:
    with pytest.raises(AssertionError, match="saw a"):
        for seed in range(40):
            run_virtual(live(seed, blind=True, deaf=True))


def test_a_node_that_was_never_told_takes_public_requests_only() -> None:
    nobody = NodeId("ab" * 20)
    assert refuse_private(nobody, "public") == ""
    assert refuse_private(nobody, "trusted")
    assert refuse_private(nobody, "own")


def test_a_resumed_answer_keeps_its_class() -> None:
    """Its worker dies; a stranger that could go on is passed over for the owner's other node."""

    async def story() -> tuple[str, NodeId, dict[NodeId, int]]:
        async with private_mesh(3, founded=False) as private:
            own = [private.add(listed=True, lists=True, granted=False, pace=0.5) for _ in range(2)]
            strangers = [private.add(listed=False, lists=True, granted=True) for _ in range(6)]
            dispatch = private.dispatch()
            run = await dispatch.submit(make_job(), replace(make_request(), privacy="own"))
            first, text, resumed = run.node, "", False
            async for event in run.events():
                if isinstance(event, Chunk):
                    text += event.text
                    if not resumed:
                        private.mesh.network.freeze(first)
                resumed = resumed or isinstance(event, Resumed)
            last = run.node
            await run.close()
            assert {first, last} == {worker.node for worker in own}
            return text, last, {worker.node: worker.engine.started for worker in strangers}

    _, _, seen = run_virtual(story())
    assert set(seen.values()) == {0}


def test_a_resumed_answer_ends_rather_than_going_on_with_a_stranger() -> None:
    async def story() -> int:
        async with private_mesh(4, founded=False) as private:
            own = private.add(listed=True, lists=True, granted=False, pace=0.5)
            stranger = private.add(listed=False, lists=True, granted=True)
            dispatch = private.dispatch()
            run = await dispatch.submit(make_job(), replace(make_request(), privacy="own"))
            with pytest.raises(JobError):
                async for event in run.events():
                    if isinstance(event, Chunk):
                        private.mesh.network.freeze(own.node)
            await run.close()
            return stranger.engine.started

    assert run_virtual(story()) == 0
