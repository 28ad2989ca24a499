"""What a gateway does when workers are equal, busy, broken, silent or hostile. In virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from mesh.errors import (
    JobError,
    JobFailed,
    LinkError,
    ModelNotFound,
    ModelUnavailable,
    NotSupported,
    Overloaded,
    StreamReset,
)
from mesh.ids import JobId, NodeId
from mesh.jobs import Chunk
from mesh.ports import Link, Stream, StreamKind
from mesh.wire.jobs import Accept, Offer, Refuse, decode, encode, encode_offer
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


def test_an_offer_in_another_gateways_name_is_refused() -> None:
    async def story() -> bytes | None:
        async with serving_mesh() as mesh:
            worker = mesh.add_worker(WordsEngine())
            link = await mesh.gateway.connect(worker, mesh.nodes[1].addresses)
            offer = Offer(
                JobId("0" * 32), 1, NodeId("f" * 40), "t", "public", 0, 9.0, 1, make_job()
            )
            stream = link.open(StreamKind.JOB)
            await stream.send(encode_offer(offer)[0])
            return await stream.receive()

    answer = run_virtual(story())
    assert answer is not None
    refusal = decode(answer)
    assert isinstance(refusal, Refuse)
    assert refusal.code == "origin"


def test_a_body_that_never_comes_does_not_hold_a_slot() -> None:
    async def story() -> None:
        async with serving_mesh() as mesh:
            engine = WordsEngine()
            worker = mesh.add_worker(engine)
            link = await mesh.gateway.connect(worker, mesh.nodes[1].addresses)
            own = mesh.gateway.node_id
            offer = Offer(
                JobId("0" * 32), 1, own, "t", "public", 0, 1e6, 1, make_job(), body_size=5
            )
            stream = link.open(StreamKind.JOB)
            await stream.send(encode_offer(offer)[0])
            with pytest.raises(StreamReset):
                while await stream.receive() is not None:
                    pass
            assert (await mesh.ask())[0] == ANSWER

    run_virtual(story())


@pytest.mark.parametrize(
    ("code", "error"),
    [("draining", ModelUnavailable), ("not_supported", NotSupported), ("odd", JobFailed)],
)
def test_what_all_refusals_have_in_common_is_told(code: str, error: type[JobError]) -> None:
    async def refuse(link: Link, stream: Stream) -> None:
        await stream.receive()
        await stream.send(encode(Refuse(code, "no")))

    async def story() -> None:
        async with serving_mesh() as mesh:
            mesh.add_node(refuse)
            mesh.add_node(refuse)
            with pytest.raises(error):
                await mesh.ask()

    run_virtual(story())


def test_a_private_request_is_not_told_to_try_again_when_nobody_may_see_it() -> None:
    async def story() -> None:
        async with serving_mesh() as mesh:
            mesh.add_worker(WordsEngine())
            private = replace(make_request(), privacy="own")
            with pytest.raises(ModelUnavailable):
                await mesh.dispatch.submit(make_job(), private)

    run_virtual(story())


def test_hosts_that_are_gone_do_not_hold_a_request_past_its_deadline() -> None:
    async def story() -> float:
        async with serving_mesh() as mesh:
            nodes = [mesh.add_worker(WordsEngine()) for _ in range(30)]
            for node in nodes:
                mesh.network.freeze(node)
            began = now()
            with pytest.raises(JobFailed):
                await mesh.ask(deadline=5.0)
            return now() - began

    assert run_virtual(story()) <= 5.0 + 2.0 + 0.5


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
