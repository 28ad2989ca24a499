"""When an engine is offered and when it is not: one look at a time, clock in hand."""

from __future__ import annotations

from random import Random

import pytest

from mesh.errors import EngineError, InvalidRequest
from services.engine_watch import RESAMPLE_SECONDS, EngineWatch
from tests.unit.services.scripted_engine import HandClock, ScriptedEngine


class Looking:
    """A watch over a scripted engine, and how often it said that something changed."""

    def __init__(self, engine: ScriptedEngine) -> None:
        self.clock = HandClock()
        self.changes: list[tuple[str, ...]] = []
        self.watch = EngineWatch(
            engine, found=True, clock=self.clock, rng=Random(1), changed=self._changed
        )

    def _changed(self) -> None:
        self.changes.append(self.names())

    def names(self) -> tuple[str, ...]:
        return tuple(model.name for model in self.watch.offered)


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine("e", "a", "b")


async def test_models_are_offered_after_one_of_them_generated_a_token(
    engine: ScriptedEngine,
) -> None:
    looking = Looking(engine)
    await looking.watch.look()
    await looking.watch.look()
    assert looking.names() == ("a", "b")
    assert looking.watch.note == ""
    assert [(job.model, job.sampling.max_tokens) for job in engine.ran] == [("a", 1)]


async def test_a_base_model_is_sampled_by_completion(engine: ScriptedEngine) -> None:
    engine.run_errors["chat"] = InvalidRequest("no chat template")
    looking = Looking(engine)
    await looking.watch.look()
    assert [job.kind for job in engine.ran] == ["chat", "completion"]
    assert looking.names() == ("a", "b")


async def test_a_model_that_cannot_be_loaded_is_left_out(engine: ScriptedEngine) -> None:
    engine.run_errors["a"] = EngineError("out of memory")
    looking = Looking(engine)
    await looking.watch.look()
    assert looking.names() == ("b",)


async def test_an_engine_that_fails_its_sample_is_not_offered_and_says_why(
    engine: ScriptedEngine,
) -> None:
    engine.run_errors = {name: EngineError("CUDA went away") for name in ("a", "b")}
    looking = Looking(engine)
    await looking.watch.look()
    assert looking.names() == ()
    assert "CUDA went away" in looking.watch.note
    tried = len(engine.ran)
    await looking.watch.look()
    assert len(engine.ran) == tried  # not at every look
    looking.clock.time += RESAMPLE_SECONDS
    engine.run_errors = {}
    await looking.watch.look()
    assert looking.names() == ("a", "b")


async def test_one_missed_look_is_forgiven_two_are_not(engine: ScriptedEngine) -> None:
    looking = Looking(engine)
    await looking.watch.look()
    engine.down()
    await looking.watch.look()
    assert looking.names() == ("a", "b")
    engine.error = None
    await looking.watch.look()
    engine.down()
    for _ in range(2):
        await looking.watch.look()
    assert looking.names() == ()
    assert looking.watch.note == "nobody there"
    assert looking.watch.gone_since == looking.clock.time


async def test_an_engine_that_returns_must_pass_its_sample_again(engine: ScriptedEngine) -> None:
    looking = Looking(engine)
    await looking.watch.look()
    looking.watch.withdraw("the connection was reset")
    assert looking.names() == ()
    assert looking.watch.note == "the connection was reset"
    await looking.watch.look()
    assert looking.names() == ("a", "b")
    assert looking.watch.gone_since is None
    assert len(engine.ran) == 2


async def test_an_engine_without_models_is_not_offered(engine: ScriptedEngine) -> None:
    looking = Looking(engine)
    await looking.watch.look()
    engine.models = ()
    await looking.watch.look()
    assert looking.names() == ()
    assert "no model" in looking.watch.note


async def test_models_come_and_go_with_the_engines_list(engine: ScriptedEngine) -> None:
    looking = Looking(engine)
    await looking.watch.look()
    engine.models = engine.models[1:]
    await looking.watch.look()
    assert looking.changes[-1] == ("b",)
    assert len(engine.ran) == 1


async def test_the_engine_that_ships_with_us_needs_no_sample() -> None:
    engine = ScriptedEngine("demo", "demo", kind="demo")
    looking = Looking(engine)
    await looking.watch.look()
    assert looking.names() == ("demo",)
    assert not engine.ran
