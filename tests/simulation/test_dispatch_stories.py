"""What a gateway does when workers are equal, busy, broken, silent or hostile. In virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from mesh.errors import JobError, JobFailed, LinkError, ModelNotFound, Overloaded
from mesh.jobs import Chunk
from mesh.ports import Link, Stream
from mesh.wire.jobs import Accept, Refuse, encode
from tests.simulation.serving_mesh import (
    Serve,
    WordsEngine,
    make_job,
    make_request,
    serving_mesh,
)
from tests.simulation.virtual_time import run_virtual

ANSWER = "0 1 2 3 4 "


def now() -> float:
    return asyncio.get_running_loop().time()


async def never() -> None:
    await asyncio.Event().wait()


def test_equal_workers_share_a_load() -> None:
    async def story() -> Counter[str]:
        async with serving_mesh() as mesh:
            for _ in range(4):
                mesh.add_worker(WordsEngine(), slots=4)
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(mesh.ask()) for _ in range(16)]
            assert all(task.result()[0] == ANSWER for task in asked)
            return Counter(task.result()[1] for task in asked)

    shares = run_virtual(story())
    assert len(shares) == 4
    assert max(shares.values()) <= 6


def test_a_full_worker_passes_the_job_on_to_one_with_room() -> None:
    async def story() -> None:
        async with serving_mesh() as mesh:
            full = mesh.add_worker(WordsEngine(pace=1.0), slots=1, queue_limit=0)
            first = await mesh.dispatch.submit(make_job(), make_request())
            free = mesh.add_worker(WordsEngine(), slots=1)
            assert first.node == full
            text, node, _ = await mesh.ask()
            assert (text, node) == (ANSWER, free)
            await first.close()

    run_virtual(story())


def test_when_everybody_is_busy_until_the_deadline_the_client_is_told_when_to_come_back() -> None:
    async def story() -> None:
        async with serving_mesh() as mesh:
            mesh.add_worker(WordsEngine(pace=100.0), slots=1, queue_limit=0)
            running = await mesh.dispatch.submit(make_job(), make_request(1e9))
            began = now()
            with pytest.raises(Overloaded) as refused:
                await mesh.ask(deadline=3.0)
            assert 3.0 <= now() - began <= 3.5
            assert refused.value.retry_after >= 1
            await running.close()

    run_virtual(story())


def test_waiting_in_a_queue_longer_than_the_deadline_is_overloaded_too() -> None:
    async def story() -> None:
        async with serving_mesh() as mesh:
            engine = WordsEngine(pace=100.0)
            mesh.add_worker(engine, slots=1)
            running = await mesh.dispatch.submit(make_job(), make_request(1e9))
            with pytest.raises(Overloaded):
                await mesh.ask(deadline=3.0)
            await running.close()
            await asyncio.sleep(1.0)
            assert engine.running == 0
            assert engine.started == 1

    run_virtual(story())


def test_a_slot_that_comes_free_in_time_is_used() -> None:
    async def story() -> None:
        async with serving_mesh() as mesh:
            mesh.add_worker(WordsEngine(pace=0.5), slots=1, queue_limit=0)
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(mesh.ask(deadline=60.0)) for _ in range(3)]
            assert [task.result()[0] for task in asked] == [ANSWER] * 3

    run_virtual(story())


async def accept_and_be_silent(link: Link, stream: Stream) -> None:
    await stream.receive()
    await stream.send(encode(Accept(1, 0, 1)))
    await never()


async def take_and_be_silent(link: Link, stream: Stream) -> None:
    await stream.receive()
    await never()


async def answer_garbage(link: Link, stream: Stream) -> None:
    await stream.receive()
    await stream.send(b"\xc1 this is no message")


async def end_at_once(link: Link, stream: Stream) -> None:
    await stream.receive()


async def refuse_twice(link: Link, stream: Stream) -> None:
    await stream.receive()
    await stream.send(encode(Refuse("busy", "full")))
    await stream.send(encode(Refuse("busy", "full")))


async def refuse_for_no_reason(link: Link, stream: Stream) -> None:
    await stream.receive()
    await stream.send(encode(Refuse("because", "x" * 10_000)))


async def reset_it(link: Link, stream: Stream) -> None:
    await stream.receive()
    stream.reset(99, "no")


async def crash(link: Link, stream: Stream) -> None:
    await stream.receive()
    raise LinkError("a defect")


@pytest.mark.parametrize(
    "serve",
    [
        accept_and_be_silent,
        take_and_be_silent,
        answer_garbage,
        end_at_once,
        refuse_twice,
        refuse_for_no_reason,
        reset_it,
        crash,
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_a_bad_worker_costs_a_little_time_and_nothing_else(serve: Serve, seed: int) -> None:
    async def story() -> float:
        async with serving_mesh(seed) as mesh:
            mesh.add_node(serve, slots=8)
            good = mesh.add_worker(WordsEngine(), slots=1)
            began = now()
            for _ in range(5):
                text, node, _ = await mesh.ask()
                assert (text, node) == (ANSWER, good)
            return now() - began

    assert run_virtual(story()) <= 5 * (2.3 + 0.6)


def test_an_engine_that_fails_before_its_first_word_is_replaced() -> None:
    async def story() -> None:
        async with serving_mesh() as mesh:
            mesh.add_worker(WordsEngine(fails_at=0), slots=8)
            good = mesh.add_worker(WordsEngine())
            text, node, _ = await mesh.ask()
            assert (text, node) == (ANSWER, good)

    run_virtual(story())


def test_a_worker_lost_after_its_first_word_is_an_error_not_a_repetition() -> None:
    async def story() -> list[str]:
        async with serving_mesh() as mesh:
            worker = mesh.add_worker(WordsEngine())
            run = await mesh.dispatch.submit(make_job(), make_request())
            said = []
            with pytest.raises(JobFailed):
                async for event in run.events():
                    if isinstance(event, Chunk):
                        said.append(event.text)
                        if len(said) == 2:
                            mesh.network.crash(worker)
            return said

    assert run_virtual(story()) == ["0 ", "1 "]


def test_when_all_have_failed_the_client_gets_an_error_soon() -> None:
    async def story() -> None:
        async with serving_mesh() as mesh:
            for _ in range(3):
                mesh.add_worker(WordsEngine(fails_at=0))
            with pytest.raises(JobFailed):
                await mesh.ask()

    run_virtual(story())


def test_closing_a_run_stops_its_engine() -> None:
    async def story() -> None:
        async with serving_mesh() as mesh:
            engine = WordsEngine(pace=0.05, count=10_000)
            mesh.add_worker(engine)
            run = await mesh.dispatch.submit(make_job(), make_request())
            events = run.events()
            await anext(events)
            assert engine.running == 1
            await run.close()
            await asyncio.sleep(0.1)
            assert engine.running == 0

    run_virtual(story())


def test_names_are_resolved_and_unknown_ones_get_a_hint() -> None:
    async def story() -> None:
        async with serving_mesh() as mesh:
            mesh.add_worker(WordsEngine())
            assert (await mesh.ask(model="nick"))[0] == ANSWER
            assert (await mesh.ask(model="auto"))[0] == ANSWER
            with pytest.raises(ModelNotFound) as unknown:
                await mesh.ask(model="nickel")
            assert unknown.value.closest == ("nick",)

    run_virtual(story())


@pytest.mark.parametrize("seed", range(20))
def test_under_random_crashes_every_request_is_answered_wholly_or_refused(seed: int) -> None:
    async def story() -> Counter[str]:
        outcomes: Counter[str] = Counter()
        async with serving_mesh(seed) as mesh:
            workers = [mesh.add_worker(WordsEngine(), slots=2) for _ in range(6)]

            async def ask() -> None:
                try:
                    text, _, _ = await mesh.ask(deadline=20.0)
                    outcomes["whole" if text == ANSWER else "broken"] += 1
                except JobError:
                    outcomes["refused"] += 1

            async with asyncio.TaskGroup() as group:
                for number in range(40):
                    group.create_task(ask())
                    await asyncio.sleep(0.05)
                    if number % 10 == 9:
                        mesh.network.crash(workers.pop())
            assert not mesh.dispatch.outstanding
            return outcomes

    outcomes = run_virtual(story())
    assert outcomes["broken"] == 0
    assert outcomes["whole"] >= 30
    assert sum(outcomes.values()) == 40
