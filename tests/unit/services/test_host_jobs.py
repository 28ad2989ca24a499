"""The host: what it accepts, in which order it answers, and that it lets go of what it held."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mesh.capability import ModelRef
from mesh.clock import SystemClock
from mesh.errors import EngineError, EngineUnavailable, InvalidRequest
from mesh.ids import JobId, NodeId
from mesh.jobs import Chunk, Finish, JobSpec, Usage
from mesh.lifecycle import Tasks
from mesh.ports import Progress
from mesh.wire.jobs import MAX_HOPS, Accept, Fail, Finished, Offer, Refuse, WorkerMessage
from services.engines.engine import Event
from services.host import DEADLINE_GRACE, STALL_SECONDS, Host
from tests.unit.services.scripted_engine import HandClock

MODEL = ModelRef("m", "test", features=("logprobs",))
DONE = Finish(("stop",), Usage(1, 2))


class GatedEngine:
    """Yields two chunks; the second waits for `gate`. Counts how far it was pulled."""

    name = "gated"

    def __init__(self, error: Exception | None = None, silent: bool = False) -> None:
        self._silent = silent
        self.gate = asyncio.Event()
        self.pulled = 0
        self.closed = 0
        self._error = error

    async def run(self, job: JobSpec, model: ModelRef) -> AsyncGenerator[Event, None]:
        try:
            self.pulled += 1
            if self._silent:
                await self.gate.wait()
            yield Chunk("a")
            if self._error is not None:
                raise self._error
            await self.gate.wait()
            self.pulled += 1
            yield Chunk("b")
            yield DONE
        finally:
            self.closed += 1


class OneModel:
    """An EngineSource with a single engine."""

    def __init__(self, engine: Any, slots: int = 1) -> None:
        self.engine = engine
        self.slots = slots
        self.withdrawn: list[str] = []
        self.observed: list[int] = []

    def find(self, model: str) -> tuple[Any, ModelRef, int] | None:
        return (self.engine, MODEL, self.slots) if model == "m" else None

    def observe(self, model: ModelRef, tokens: int, seconds: float) -> None:
        self.observed.append(tokens)

    def withdraw(self, engine: Any, reason: str) -> None:
        self.withdrawn.append(reason)


def make_offer(origin: str = "a", model: str = "m", hops: int = 1, **job: Any) -> Offer:
    spec = JobSpec("chat", model, **{"stream": True, **job})
    return Offer(
        JobId("0" * 32), 1, NodeId(origin * 40), "t", "public", 0, deadline=5.0, hops=hops, job=spec
    )


@asynccontextmanager
async def hosting(source: OneModel, **limits: Any) -> AsyncGenerator[tuple[Host, Tasks], None]:
    tasks = Tasks("test")
    given = {"queue_limit": 4, "clock": SystemClock(), **limits}
    host = Host(engines=source, tasks=tasks, **given)
    host.start()
    try:
        yield host, tasks
    finally:
        await tasks.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


async def run_offer(host: Host, offer: Offer, sent: list[WorkerMessage]) -> None:
    async def send(message: WorkerMessage) -> None:
        sent.append(message)

    await host.execute(offer, send)


async def test_a_quick_answer_is_its_own_acceptance_and_ends_with_one_finish() -> None:
    engine = GatedEngine()
    engine.gate.set()
    source = OneModel(engine)
    sent: list[WorkerMessage] = []
    async with hosting(source) as (host, _):
        await run_offer(host, make_offer(), sent)
        assert host.in_flight == 0
        assert host.load().in_flight == 0
    assert sent[:2] == [Chunk("a"), Chunk("b")]
    assert len(sent) == 3
    assert isinstance(sent[-1], Finished)
    assert sent[-1].finish == DONE
    assert source.observed == [2]


@pytest.mark.parametrize(
    ("offer", "code"),
    [
        (make_offer(model="other"), "model_not_found"),
        (make_offer(hops=MAX_HOPS + 1), "hops"),
        (make_offer(needs=("tools",)), "not_supported"),
    ],
)
async def test_what_cannot_run_here_is_refused_with_a_reason(offer: Offer, code: str) -> None:
    sent: list[WorkerMessage] = []
    async with hosting(OneModel(GatedEngine())) as (host, _):
        await run_offer(host, offer, sent)
    assert [m.code for m in sent if isinstance(m, Refuse)] == [code]
    assert len(sent) == 1


async def test_a_whole_answer_leaves_in_one_message() -> None:
    engine = GatedEngine()
    engine.gate.set()
    sent: list[WorkerMessage] = []
    async with hosting(OneModel(engine)) as (host, _):
        await run_offer(host, make_offer(stream=False), sent)
    assert len(sent) == 1
    assert isinstance(sent[0], Finished)
    assert sent[0].last == Chunk("ab")


async def test_an_engine_that_pauses_midway_is_no_reason_for_silence() -> None:
    engine = GatedEngine()
    sent: list[WorkerMessage] = []
    async with hosting(OneModel(engine)) as (host, tasks):
        tasks.spawn(run_offer(host, make_offer(), sent), "job")
        await until(lambda: sent == [Chunk("a"), Progress("running"), Progress("running")])


async def test_a_slow_answer_is_accepted_first() -> None:
    engine = GatedEngine(silent=True)
    sent: list[WorkerMessage] = []
    async with hosting(OneModel(engine)) as (host, tasks):
        tasks.spawn(run_offer(host, make_offer(), sent), "job")
        await until(lambda: sent == [Accept(1, 0, 1)])
        await until(lambda: Progress("running", 0, None) in sent)


async def test_draining_and_memory_cap_refuse() -> None:
    sent: list[WorkerMessage] = []
    async with hosting(OneModel(GatedEngine()), over_memory_cap=lambda: True) as (host, _):
        await run_offer(host, make_offer(), sent)
        host.draining = True
        await run_offer(host, make_offer(), sent)
    assert [m.code for m in sent if isinstance(m, Refuse)] == ["busy", "draining"]


async def test_the_second_job_waits_is_told_its_place_and_then_runs() -> None:
    engine = GatedEngine()
    first: list[WorkerMessage] = []
    second: list[WorkerMessage] = []
    async with hosting(OneModel(engine)) as (host, tasks):
        tasks.spawn(run_offer(host, make_offer("a"), first), "first")
        await until(lambda: len(first) >= 1)
        tasks.spawn(run_offer(host, make_offer("b"), second), "second")
        await until(lambda: sum(isinstance(m, Progress) for m in second) >= 2)
        assert second[1] == Progress("queued", 0, None)
        assert host.load().queued == 1
        engine.gate.set()
        await until(lambda: isinstance(second[-1], Finished))
    assert isinstance(second[-1], Finished)
    assert second[-1].queue_seconds > 0


async def test_a_full_queue_refuses_as_busy() -> None:
    engine = GatedEngine()
    outcomes: list[list[WorkerMessage]] = [[] for _ in range(4)]
    async with hosting(OneModel(engine), queue_limit=2) as (host, tasks):
        for number, sent in enumerate(outcomes):
            tasks.spawn(run_offer(host, make_offer("abcd"[number]), sent), "job")
            await until(lambda sent=sent: bool(sent))  # type: ignore[misc]
        assert isinstance(outcomes[3][0], Refuse)
        assert outcomes[3][0].code == "busy"


async def test_nothing_is_pulled_while_the_receiver_does_not_take_it() -> None:
    engine = GatedEngine()
    engine.gate.set()
    stuck = asyncio.Event()

    async def send(message: WorkerMessage) -> None:
        if isinstance(message, Chunk):
            await stuck.wait()

    async with hosting(OneModel(engine)) as (host, tasks):
        tasks.spawn(host.execute(make_offer(), send), "job")
        await until(lambda: engine.pulled == 1)
        for _ in range(20):
            await asyncio.sleep(0)
        assert engine.pulled == 1
        stuck.set()
        await until(lambda: engine.pulled == 2)


async def test_cancelling_stops_the_engine_and_frees_the_slot() -> None:
    engine = GatedEngine()
    sent: list[WorkerMessage] = []
    async with hosting(OneModel(engine)) as (host, tasks):
        job = tasks.spawn(run_offer(host, make_offer(), sent), "job")
        await until(lambda: Chunk("a") in sent)
        job.cancel()
        await until(lambda: engine.closed == 1)
        assert host.in_flight == 0
        assert host.load().in_flight == 0
        assert host.counters.cancelled == 1


@pytest.mark.parametrize(
    ("error", "final", "withdrawn"),
    [
        (EngineError("busy"), False, 0),
        (EngineUnavailable("gone"), False, 1),
        (InvalidRequest("bad", param="stop"), True, 0),
    ],
)
async def test_engine_failures_are_told_apart(
    error: Exception, final: bool, withdrawn: int
) -> None:
    source = OneModel(GatedEngine(error))
    sent: list[WorkerMessage] = []
    async with hosting(source) as (host, _):
        await run_offer(host, make_offer(), sent)
    assert isinstance(sent[-1], Fail)
    assert sent[-1].final is final
    assert len(source.withdrawn) == withdrawn
    assert "gone" not in sent[-1].reason


async def test_a_slow_second_piece_of_a_whole_answer_is_covered_by_signs_of_life() -> None:
    engine = GatedEngine()
    sent: list[WorkerMessage] = []
    async with hosting(OneModel(engine)) as (host, tasks):
        tasks.spawn(run_offer(host, make_offer(stream=False), sent), "job")
        await until(lambda: sum(isinstance(m, Progress) for m in sent) >= 2)
        assert not any(isinstance(m, Chunk) for m in sent)
        engine.gate.set()
        await until(lambda: bool(sent) and isinstance(sent[-1], Finished))


async def test_a_job_past_its_deadline_gives_its_place_up() -> None:
    engine = GatedEngine(silent=True)
    clock = HandClock()
    sent: list[WorkerMessage] = []
    async with hosting(OneModel(engine), clock=clock) as (host, tasks):
        tasks.spawn(run_offer(host, make_offer(), sent), "job")
        await until(lambda: engine.pulled == 1)
        clock.time += 5.0 + DEADLINE_GRACE + 1
        await until(lambda: host.in_flight == 0)
        assert engine.closed == 1


async def test_a_job_that_nobody_takes_gives_its_slot_up() -> None:
    engine = GatedEngine()
    clock = HandClock()

    async def send(message: WorkerMessage) -> None:
        if isinstance(message, Chunk):
            await asyncio.Event().wait()

    async with hosting(OneModel(engine), clock=clock) as (host, tasks):
        tasks.spawn(host.execute(make_offer(), send), "job")
        await until(lambda: engine.pulled == 1)
        clock.time += STALL_SECONDS + 1
        await until(lambda: host.in_flight == 0)
        assert engine.closed == 1


async def test_a_paused_host_finishes_what_it_has_and_says_why_it_takes_no_more() -> None:
    engine = GatedEngine()
    sent: list[WorkerMessage] = []
    refused: list[WorkerMessage] = []
    async with hosting(OneModel(engine, slots=4)) as (host, tasks):
        running = tasks.spawn(run_offer(host, make_offer(), sent), "job")
        await until(lambda: engine.pulled == 1)
        host.paused = "paused by its owner"
        await run_offer(host, make_offer(), refused)
        assert refused == [Refuse("draining", "paused by its owner")]
        engine.gate.set()
        await running
        assert isinstance(sent[-1], Finished)
        host.paused = ""
        await run_offer(host, make_offer(), sent)
        assert host.counters.completed == 2


async def test_a_limit_set_while_jobs_run_holds_for_the_next_ones() -> None:
    engine = GatedEngine()
    sent: list[list[WorkerMessage]] = [[], [], []]
    async with hosting(OneModel(engine, slots=4)) as (host, tasks):
        jobs = [tasks.spawn(run_offer(host, make_offer(), one), "job") for one in sent[:2]]
        await until(lambda: engine.pulled == 2)
        host.limit_slots(2)
        jobs.append(tasks.spawn(run_offer(host, make_offer(), sent[2]), "job"))
        await until(lambda: Progress("queued", 0, None) in sent[2])
        assert (host.load().in_flight, host.load().queued, host.load().slots) == (2, 1, 2)
        engine.gate.set()
        for job in jobs:
            await job
        assert host.load().in_flight == 0
