"""A worker is lost midway and another one goes on: nothing lost, nothing repeated. Virtual time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise

import pytest

from mesh.capability import ModelRef
from mesh.errors import JobFailed
from mesh.ids import NodeId
from mesh.jobs import Chunk, Finish, JobSpec, Sampling
from mesh.ports import Link, Stream
from mesh.wire.jobs import Finished, decode_offer, encode
from tests.simulation.listening import (
    Event,
    check_answer,
    crash,
    cut_off,
    freeze,
    freeze_for_a_while,
    job_of,
    listen,
)
from tests.simulation.resumable import (
    EXACT,
    TEXTUAL,
    ResumableEngine,
    Spoil,
    SpoiledStream,
    answer_another_choice,
    answer_late,
    be_silent,
    end_early,
    reset_it,
    send_garbage,
    swallow,
    whole,
)
from tests.simulation.serving_mesh import ServingMesh, make_request, serving_mesh
from tests.simulation.virtual_time import run_virtual


@pytest.mark.parametrize("do", [crash, freeze, freeze_for_a_while, cut_off])
@pytest.mark.parametrize("model", [EXACT, TEXTUAL])
@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("stream", [True, False])
def test_a_lost_worker_is_followed_by_another(
    do: Event, model: ModelRef, n: int, stream: bool
) -> None:
    async def story() -> None:
        async with serving_mesh() as mesh:
            engines = [ResumableEngine(with_ids=model is EXACT) for _ in range(3)]
            for engine in engines:
                mesh.add_worker(engine, model=model)
            job = job_of(n, stream=stream)
            told = await listen(mesh, job, after=4 if stream else 1, do=do)
            check_answer(told, job, engines)
            assert len(told.resumed) == 1
            assert told.longest_gap <= (2.0 if stream else 3.0)
            assert mesh.dispatch.counters.resumed == 1
            assert not mesh.dispatch.outstanding

    run_virtual(story())


def test_an_engine_that_breaks_down_midway_is_followed_by_another() -> None:
    async def story() -> None:
        async with serving_mesh() as mesh:
            engines = [ResumableEngine(fails_at=10), ResumableEngine(fails_at=15)]
            engines.append(ResumableEngine())
            for engine in engines:
                mesh.add_worker(engine, model=EXACT)
            for _ in range(3):
                told = await listen(mesh, job_of(seed=3))
                check_answer(told, job_of(), engines)
                for engine in engines:
                    engine.generated = 0
            assert mesh.dispatch.counters.resumed >= 1

    run_virtual(story())


@pytest.mark.parametrize(
    "spoil",
    [
        send_garbage,
        be_silent,
        swallow,
        end_early,
        reset_it,
        answer_another_choice,
        answer_late,
    ],
)
@pytest.mark.parametrize("at", [0, 1, 7])
def test_a_worker_that_goes_wrong_midway_is_left(spoil: Spoil, at: int) -> None:
    async def story() -> None:
        async with serving_mesh() as mesh:
            bad, good = ResumableEngine(length=60), ResumableEngine(length=60)
            host = mesh.host_of(bad, slots=8, model=EXACT)

            async def serve(link: Link, stream: Stream) -> None:
                await host.serve(link, SpoiledStream(stream, at, spoil))

            mesh.add_node(serve, slots=8, model=EXACT)
            mesh.add_worker(good, model=EXACT)
            for _ in range(4):
                told = await listen(mesh, job_of(seed=11))
                assert told.texts == {0: whole(11, 0, 60)}
                assert told.longest_gap <= 2.0
            counters = mesh.dispatch.counters
            assert bad.jobs
            assert counters.resumed + counters.restarted + counters.retries >= 1

    run_virtual(story())


def test_an_engine_that_only_pauses_is_kept() -> None:
    async def story() -> None:
        async with serving_mesh() as mesh:
            engine = ResumableEngine(pauses_at=10)
            mesh.add_worker(engine, model=EXACT)
            mesh.add_worker(ResumableEngine(pauses_at=10), model=EXACT)
            told = await listen(mesh, job_of(seed=1))
            assert told.texts == {0: whole(1, 0, 40)}
            assert told.resumed == []
            assert told.longest_gap >= 10.0

    run_virtual(story())


def test_a_slow_client_is_no_silence_and_gets_every_chunk() -> None:
    async def story() -> None:
        async with serving_mesh() as mesh:
            engines = [ResumableEngine(pace=0.01, length=60) for _ in range(2)]
            for engine in engines:
                mesh.add_worker(engine, model=EXACT)
            told = await listen(mesh, job_of(seed=1), after=5, do=crash, slow=0.4)
            assert told.texts == {0: whole(1, 0, 60)}
            assert len(told.resumed) <= 1

    run_virtual(story())


def test_chunks_stay_paced_around_the_loss() -> None:
    async def story() -> None:
        async with serving_mesh() as mesh:
            for _ in range(2):
                mesh.add_worker(ResumableEngine(pace=0.05), model=EXACT)
            told = await listen(mesh, job_of(seed=1), after=10, do=freeze)
            after = told.times[told.times.index(max(told.times)) - 25 :]
            gaps = [later - earlier for earlier, later in pairwise(after)]
            assert max(gaps) <= 0.06
            assert min(gaps) >= 0.04
            assert set(told.counts) == {1}

    run_virtual(story())


@pytest.mark.parametrize(
    "other",
    [
        replace(EXACT, digest="d2"),
        replace(EXACT, quantisation="q4"),
        replace(EXACT, features=("logprobs",)),
        replace(EXACT, digest="", engine="vllm"),
    ],
)
def test_other_weights_or_an_engine_that_cannot_never_go_on(other: ModelRef) -> None:
    async def story() -> None:
        async with serving_mesh() as mesh:
            first = mesh.add_worker(ResumableEngine(), model=EXACT)
            run = await mesh.dispatch.submit(job_of(), make_request())
            assert run.node == first
            wrong = ResumableEngine()
            mesh.add_worker(wrong, model=other)
            seen = 0
            with pytest.raises(JobFailed, match="lost before it was done"):
                async for _ in run.events():
                    seen += 1
                    if seen == 3:
                        crash(mesh, first)
            await run.close()
            assert wrong.jobs == []
            assert mesh.dispatch.counters.not_resumable == 1

    run_virtual(story())


def test_unknown_weights_go_on_by_the_same_kind_of_engine() -> None:
    async def story() -> None:
        async with serving_mesh() as mesh:
            unknown = replace(TEXTUAL, digest="")
            engines = [ResumableEngine(with_ids=False) for _ in range(2)]
            for engine in engines:
                mesh.add_worker(engine, model=unknown)
            told = await listen(mesh, job_of(), after=5, do=crash)
            check_answer(told, job_of(), engines)

    run_virtual(story())


def test_a_successor_that_appears_a_little_later_is_waited_for() -> None:
    async def story() -> None:
        async with serving_mesh() as mesh:
            engines = [ResumableEngine(), ResumableEngine()]
            mesh.add_worker(engines[0], model=EXACT)

            def crash_and_send_help(mesh: ServingMesh, node: NodeId) -> None:
                crash(mesh, node)
                loop = asyncio.get_running_loop()
                loop.call_later(1.0, lambda: mesh.add_worker(engines[1], model=EXACT))

            told = await listen(mesh, job_of(), after=5, do=crash_and_send_help)
            check_answer(told, job_of(), engines)

    run_virtual(story())


@pytest.mark.parametrize(
    "job",
    [
        job_of(needs=("json",), extra={"response_format": {"type": "json_object"}}),
        job_of(extra={"guided_regex": "[a-z]+"}),
        job_of(needs=("vision",)),
        job_of(extra={"echo": True}),
        replace(job_of(), sampling=Sampling(logprobs=1)),
    ],
)
def test_what_one_worker_must_write_alone_ends_in_an_error(job: JobSpec) -> None:
    async def story() -> None:
        async with serving_mesh() as mesh:
            for _ in range(2):
                mesh.add_worker(ResumableEngine(with_ids=False), model=TEXTUAL)
            with pytest.raises(JobFailed):
                await listen(mesh, job, after=3, do=crash)
            assert mesh.dispatch.counters.not_resumable == 1
            assert mesh.dispatch.counters.resumed == 0

    run_virtual(story())


def test_log_probabilities_go_on_where_the_engine_is_exact() -> None:
    async def story() -> None:
        async with serving_mesh() as mesh:
            engines = [ResumableEngine(), ResumableEngine()]
            for engine in engines:
                mesh.add_worker(engine, model=EXACT)
            job = replace(job_of(), sampling=Sampling(logprobs=1))
            check_answer(await listen(mesh, job, after=3, do=crash), job, engines)

    run_virtual(story())


def test_an_answer_too_long_to_keep_ends_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.dispatch.emitted.MAX_KEPT", 200)

    async def story() -> None:
        async with serving_mesh() as mesh:
            for _ in range(2):
                mesh.add_worker(ResumableEngine(), model=EXACT)
            with pytest.raises(JobFailed):
                await listen(mesh, job_of(), after=30, do=crash)

    run_virtual(story())


async def answer_twice(link: Link, stream: Stream) -> None:
    """Everything again, and then chunks for ever; it never ends the stream."""
    seed = decode_offer(await stream.receive() or b"").job.sampling.seed
    done = Finished(Finish(("length",)), last=Chunk("twice "))
    for message in (Chunk(f"{seed} "), done, Chunk("more "), done):
        await stream.send(encode(message))
    while True:
        await stream.send(encode(Chunk("and more ")))


def test_what_comes_after_the_end_is_dropped() -> None:
    async def story() -> None:
        async with serving_mesh() as mesh:
            worker = mesh.add_node(answer_twice, model=EXACT)
            for _ in range(50):
                told = await listen(mesh, job_of(seed=4))
                assert told.texts == {0: "4 twice "}
            await asyncio.sleep(0.1)
            link = mesh.gateway.get(worker)
            assert link is not None
            assert link.idle, "streams of finished jobs are left open"

    run_virtual(story())
