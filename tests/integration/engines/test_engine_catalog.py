"""The catalog over fakes on real sockets: found, offered, killed, back again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import aclosing
from random import Random
from typing import Any

import pytest

from mesh.capability import ModelRef
from mesh.clock import SystemClock
from mesh.errors import EngineUnavailable
from mesh.jobs import JobSpec
from mesh.lifecycle import Tasks
from services.catalog import FORGET_SECONDS, LEAST_TOKENS, SPEED_EVERY, Catalog, place_of
from services.engines.discovery import Discovery
from services.engines.engine import Engine
from services.engines.given import GivenEngine
from services.engines.openai import OpenAIEngine
from tests.fakes.ollama_server import FakeOllama
from tests.fakes.openai_server import FakeOpenAI
from tests.unit.services.scripted_engine import HandClock, ScriptedEngine

Until = Callable[..., Awaitable[None]]
Make = Callable[..., Catalog]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    tasks = Tasks("test")
    made: list[Catalog] = []

    def build(*engines: Engine, **given: Any) -> Catalog:
        given = {"aliases": {}, "clock": SystemClock(), **given}
        catalog = Catalog(engines=engines, tasks=tasks, rng=Random(1), **given)
        made.append(catalog)
        return catalog

    yield build
    for catalog in made:
        await catalog.close()
        await catalog.close()
    await tasks.close()


def names(catalog: Catalog) -> list[str]:
    return [model.ref.name for model in catalog.models()]


async def test_engines_on_this_machine_are_found_and_offered(
    make: Make, vllm: FakeOpenAI, ollama: FakeOllama
) -> None:
    fallback = ScriptedEngine("demo", "demo", kind="demo")
    discovery = Discovery(ports=(vllm.port, ollama.port, 1), listeners=dict)
    catalog = make(discovery=discovery, fallback=fallback, aliases={"gpt-4o-mini": "auto"})
    await catalog.start()
    assert sorted(names(catalog)) == ["fake-7b", "llama3.2:3b"]
    assert catalog.notes() == ()
    found = catalog.find("gpt-4o-mini")
    assert found is not None
    assert found[1].name == names(catalog)[0]
    assert catalog.find("demo") is None


async def test_the_fallback_is_offered_while_nothing_else_is(make: Make) -> None:
    better = ScriptedEngine("better", "good")
    better.down()
    catalog = make(better, fallback=ScriptedEngine("demo", "demo", kind="demo"))
    changes: list[list[str]] = []
    catalog.on_change(lambda: changes.append(names(catalog)))
    await catalog.start()
    assert names(catalog) == ["demo"]
    assert catalog.notes() == ("better: nobody there",)
    better.error = None
    catalog.withdraw(better, "look again")
    async with asyncio.timeout(5.0):
        while names(catalog) != ["good"]:
            await asyncio.sleep(0.01)
    better.down()
    catalog.withdraw(better, "it broke")
    assert names(catalog) == ["demo"]
    assert changes == [["demo"], ["good"], ["demo"]]


async def test_a_killed_engine_is_off_offer_within_five_seconds_and_comes_back(
    make: Make, vllm: FakeOpenAI, until: Until
) -> None:
    catalog = make(discovery=Discovery(ports=(vllm.port,), listeners=dict))
    await catalog.start()
    assert names(catalog) == ["fake-7b"]
    await vllm.stop()
    await until(lambda: not catalog.models(), seconds=5.0)
    assert "cannot be reached" in catalog.notes()[0]
    await vllm.start(port=vllm.port)
    await until(lambda: names(catalog) == ["fake-7b"], seconds=5.0)


async def test_an_engine_that_failed_a_job_is_off_offer_at_once_and_looked_at_again(
    make: Make, vllm: FakeOpenAI, until: Until
) -> None:
    catalog = make(OpenAIEngine(vllm.url, kind="vllm"))
    await catalog.start()
    found = catalog.find("auto")
    assert found is not None
    engine, model, _ = found
    vllm.knobs.fail_after = 1
    job = JobSpec("chat", "auto", ({"role": "user", "content": "hi"},), stream=True)
    with pytest.raises(EngineUnavailable) as caught:
        async with aclosing(engine.run(job, model)) as events:
            async for _ in events:
                pass
    catalog.withdraw(engine, str(caught.value))
    assert catalog.models() == ()
    assert catalog.find("auto") is None
    vllm.knobs.fail_after = None
    await until(lambda: names(catalog) == ["fake-7b"])


async def test_an_engine_that_fails_its_sample_is_noted(make: Make, vllm: FakeOpenAI) -> None:
    vllm.knobs.busy = True
    catalog = make(GivenEngine(vllm.url))
    await catalog.start()
    assert catalog.models() == ()
    assert "its sample failed: fake-7b" in catalog.notes()[0]


async def test_a_slow_engine_does_not_hold_up_the_start(
    make: Make, vllm: FakeOpenAI, until: Until
) -> None:
    vllm.knobs.first_delay = 1.5
    quick = ScriptedEngine("quick", "q")
    catalog = make(GivenEngine(vllm.url), quick)
    async with asyncio.timeout(1.4):
        await catalog.start()
    assert names(catalog) == ["q"]
    await until(lambda: names(catalog) == ["fake-7b", "q"])


async def test_a_place_given_is_not_found_a_second_time(make: Make, vllm: FakeOpenAI) -> None:
    given = GivenEngine(f"http://localhost:{vllm.port}")
    catalog = make(given, discovery=Discovery(ports=(vllm.port,), listeners=dict))
    await catalog.start()
    assert names(catalog) == ["fake-7b"]
    assert catalog.notes() == ()


async def test_measured_speed_is_shown_and_told_when_it_matters(make: Make) -> None:
    clock = HandClock()
    catalog = make(ScriptedEngine("e", "m"), clock=clock)
    await catalog.start()
    told: list[float] = []
    catalog.on_change(lambda: told.append(catalog.models()[0].speed))
    model = catalog.models()[0].ref
    for _ in range(20):
        catalog.observe(model, tokens=100, seconds=2.0)
    assert catalog.models()[0].speed == pytest.approx(50.0)
    for _ in range(20):
        catalog.observe(model, tokens=100, seconds=1.0)
    assert [round(speed) for speed in told] == [50]
    clock.time += SPEED_EVERY
    for _ in range(20):
        catalog.observe(model, tokens=100, seconds=1.0)
    assert [round(speed) for speed in told] == [50, 100]
    clock.time += SPEED_EVERY
    catalog.observe(ModelRef("unknown", "e"), tokens=100, seconds=1.0)
    catalog.observe(model, tokens=LEAST_TOKENS - 1, seconds=100.0)
    assert len(told) == 2


async def test_closing_closes_every_engine(make: Make) -> None:
    engines = [ScriptedEngine("one", "a"), ScriptedEngine("two", "b")]
    fallback = ScriptedEngine("demo", "demo", kind="demo")
    catalog = make(*engines, fallback=fallback)
    await catalog.start()
    await catalog.close()
    assert all(engine.closed for engine in (*engines, fallback))


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("vllm@127.0.0.1:8000", "127.0.0.1:8000"),
        ("localhost:8000", "127.0.0.1:8000"),
        ("[::1]:8000", "127.0.0.1:8000"),
        ("engine.example.org", "engine.example.org"),
        ("demo", "demo"),
    ],
)
def test_one_place_has_one_spelling(name: str, place: str) -> None:
    assert place_of(name) == place


class FindsOnce(Discovery):
    """Finds one engine at the first scan only, and remembers what it was told not to look at."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(ports=())
        self._engine: Engine | None = engine
        self.known: list[Collection[str]] = []

    async def scan(self, known: Collection[str]) -> tuple[Engine, ...]:
        self.known.append(known)
        found, self._engine = self._engine, None
        return () if found is None else (found,)


async def test_a_found_engine_that_stays_away_is_forgotten(make: Make) -> None:
    engine, clock = ScriptedEngine("vllm@127.0.0.1:8000", "m"), HandClock()
    discovery = FindsOnce(engine)
    catalog = make(discovery=discovery, clock=clock)
    await catalog.start()
    assert names(catalog) == ["m"]
    engine.down()
    catalog.withdraw(engine, "it was killed")
    clock.time += FORGET_SECONDS - 1
    await catalog.scan()
    assert catalog.notes() == ("vllm@127.0.0.1:8000: it was killed",)
    clock.time += 2
    await catalog.scan()
    assert catalog.notes() == ()
    assert engine.closed
    await catalog.scan()
    assert [list(known) for known in discovery.known] == [
        [],
        ["127.0.0.1:8000"],
        [],
        [],
    ]
