"""A node that follows assignments, over a real catalog and engines of the test's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from random import Random

import pytest

from mesh.capability import Resources, Runnable
from mesh.clock import SystemClock
from mesh.errors import ConfigError
from mesh.lifecycle import Tasks
from mesh.wire.assignment import Assign, Told
from services import activation as activating
from services.activation import Activation
from services.catalog import Catalog
from services.engines.engine import Engine
from services.limits import Limits
from services.startable import Startable
from tests.unit.services.scripted_engine import ScriptedEngine

GIB = 2**30
ROOMY = Resources(4.0, 8 * GIB)


@dataclass
class Node:
    """An activation with everything a test may turn."""

    catalog: Catalog
    activation: Activation
    made: list[ScriptedEngine] = field(default_factory=list)
    busy: set[str] = field(default_factory=set)
    sick: set[str] = field(default_factory=set)
    limits: Limits = field(default_factory=Limits)

    def hold(self, *models: str, resources: Resources = ROOMY) -> None:
        self.activation.hold([self._startable(model) for model in models], resources)

    def assign(self, *models: str, term: int = 1, version: int = 1) -> Told:
        return self.activation.obey(Assign(term, version, tuple((one, "") for one in models)))

    def states(self) -> dict[str, str]:
        return {each.model: each.state for each in self.activation.reports()}

    def offered(self) -> list[str]:
        return sorted(one.ref.name for one in self.catalog.models())

    def _startable(self, model: str) -> Startable:
        def make(card: int | None) -> Engine:
            if model == "damaged":
                raise ConfigError("models_dir", model, "it is gone")
            engine = ScriptedEngine(f"test:{model}", model)
            if model in self.sick:
                engine.down()
            self.made.append(engine)
            return engine

        return Startable(Runnable(model, "scripted", GIB), make)


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    tasks = Tasks("test")
    own = ScriptedEngine("own", "mine")
    catalog = Catalog(engines=[own], aliases={}, clock=SystemClock(), tasks=tasks, rng=Random(1))
    found = Node(catalog, None)  # type: ignore[arg-type]  # filled in just below
    found.activation = Activation(
        shelf=catalog,
        busy_with=lambda engine: int(engine.name in found.busy),
        available_memory=lambda: 64 * GIB,
        limits=lambda: found.limits,
        clock=SystemClock(),
        tasks=tasks,
    )
    await catalog.start()
    yield found
    await catalog.close()
    await tasks.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10.0):
        while not condition():
            await asyncio.sleep(0.02)


async def test_an_assigned_model_is_offered_once_its_sample_has_passed(node: Node) -> None:
    node.hold("a", "b")
    told = node.assign("a")
    assert told.accepted
    assert [each.state for each in told.reports] == ["starting"]
    await until(lambda: node.states() == {"a": "serving"})
    assert node.offered() == ["a", "mine"]
    assert len(node.made[0].ran) == 1


async def test_a_model_that_is_not_wanted_any_more_ends_after_its_last_job(node: Node) -> None:
    node.hold("a")
    node.assign("a")
    await until(lambda: "a" in node.offered())
    node.busy.add("test:a")
    assert node.assign(version=2).reports[0].state == "draining"
    assert node.offered() == ["mine"]
    await asyncio.sleep(0.05)
    assert not node.made[0].closed
    node.busy.clear()
    await until(lambda: node.made[0].closed)
    assert node.states() == {}


async def test_an_older_leader_or_assignment_is_refused(node: Node) -> None:
    node.hold("a", "b")
    node.assign("a", term=2, version=5)
    for term, version in ((1, 9), (2, 4)):
        told = node.assign("b", term=term, version=version)
        assert (told.accepted, told.term, told.version) == (False, 2, 5)
    assert node.assign("a", term=2, version=5).accepted
    assert node.assign("b", term=3, version=0).accepted
    assert set(node.states()) == {"a", "b"}


async def test_the_owners_own_engines_go_on_whatever_is_assigned(node: Node) -> None:
    node.hold("mine", "a")
    assert [each.model for each in node.activation.runnable()] == ["a"]
    assert node.assign("mine").reports[0].state == "serving"
    node.assign(version=2)
    assert node.offered() == ["mine"]
    assert node.made == []


async def test_an_owner_who_wants_no_assignments_gets_none(node: Node) -> None:
    node.hold("a")
    node.assign("a")
    await until(lambda: "a" in node.offered())
    node.activation.release()
    assert node.activation.runnable() == ()
    await until(lambda: node.made[0].closed)
    told = node.assign("a", version=2)
    assert (told.accepted, told.reason) == (False, "the owner lets nobody assign this node")
    assert len(node.made) == 1


async def test_what_cannot_be_made_or_never_gets_ready_has_failed(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activating, "START_SECONDS", 0.3)
    node.sick.add("b")
    node.hold("damaged", "b")
    node.assign("damaged", "b")
    await until(lambda: node.states() == {"damaged": "failed", "b": "failed"})
    reasons = {each.model: each.reason for each in node.activation.reports()}
    assert reasons["b"] == "nobody there"
    assert "it is gone" in reasons["damaged"]
    assert node.made[0].closed
    node.assign(version=2)
    node.sick.clear()
    node.assign("b", version=3)
    await until(lambda: node.states() == {"b": "serving"})


async def test_a_model_that_waits_for_room_starts_when_there_is_some(node: Node) -> None:
    node.hold("a", "b", resources=Resources(4.0, GIB))
    node.assign("a")
    await until(lambda: "a" in node.offered())
    node.busy.add("test:a")
    node.assign("b", version=2)
    assert node.states() == {"b": "waiting", "a": "draining"}
    node.busy.clear()
    await until(lambda: node.states() == {"b": "serving"})
    assert node.offered() == ["b", "mine"]


async def test_an_engine_that_dies_is_starting_again(node: Node) -> None:
    node.hold("a")
    node.assign("a")
    await until(lambda: node.states() == {"a": "serving"})
    node.made[0].down()
    node.catalog.withdraw(node.made[0], "it died")
    await until(lambda: node.states() == {"a": "starting"})
    node.made[0].error = None
    node.catalog.withdraw(node.made[0], "look again")
    await until(lambda: node.states() == {"a": "serving"})


async def test_the_mesh_is_told_when_what_could_run_changes(node: Node) -> None:
    told: list[int] = []
    node.activation.on_change(lambda: told.append(len(node.activation.runnable())))
    node.hold("a", "b")
    node.activation.release()
    assert told == [2, 0]


async def test_a_catalog_that_is_full_says_so(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.catalog.MAX_ENGINES", 1)
    node.hold("a")
    node.assign("a")
    assert node.states() == {"a": "failed"}


async def test_a_limit_that_is_lowered_ends_what_exceeds_it_and_nothing_else(node: Node) -> None:
    node.hold("a", "b")
    node.assign("a", "b")
    await until(lambda: node.offered() == ["a", "b", "mine"])
    node.limits = Limits(memory=GIB)
    assert node.activation.resources.memory == GIB
    await until(lambda: node.offered() == ["a", "mine"])
    await until(lambda: node.states() == {"a": "serving", "b": "refused"})
