"""Whatever is done to workers, a job's answer is whole; and the checks that say so find bugs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from mesh.errors import JobFailed, LinkClosed, WireError
from mesh.ids import NodeId
from mesh.jobs import Chunk, Emitted, Finish, JobSpec
from mesh.ports import Stream
from mesh.wire.jobs import WorkerMessage, decode
from node.dispatch import run as run_module
from node.dispatch.attempt import Attempt, RemoteAttempt
from node.dispatch.emitted import Answer
from node.dispatch.mesh_dispatch import MeshDispatch
from node.dispatch.run import MeshRun
from tests.simulation.listening import (
    Told,
    check_answer,
    crash,
    cut_off,
    freeze,
    freeze_for_a_while,
    job_of,
)
from tests.simulation.resumable import EXACT, TEXTUAL, ResumableEngine
from tests.simulation.serving_mesh import ServingMesh, make_request, serving_mesh
from tests.simulation.virtual_time import run_virtual


async def random_story(seed: int) -> None:
    """Six workers, of which up to three are lost in some way while a job is answered."""
    rng = Random(seed)
    print(f"seed {seed}")
    async with serving_mesh(seed) as mesh:
        with_ids = rng.random() < 0.5
        model = EXACT if with_ids else TEXTUAL
        engines = [
            ResumableEngine(
                with_ids=with_ids,
                pace=rng.choice((0.01, 0.05)),
                length=rng.choice((5, 40, 90)) if number == 0 else 0,
                fails_at=rng.randrange(40) if rng.random() < 0.2 else None,
            )
            for number in range(6)
        ]
        for engine in engines:
            engine.length = engines[0].length
            if engine is engines[-1]:
                engine.fails_at = None
            mesh.add_worker(engine, model=model, slots=rng.choice((1, 4)))
        losses = [rng.choice((crash, freeze, freeze_for_a_while, cut_off)) for _ in range(3)]
        at = sorted(rng.sample(range(1, 60), 3))
        n, stream = rng.choice((1, 1, 2, 4)), rng.random() < 0.7
        job = job_of(n, stream=stream, seed=None if with_ids else 5)

        def lose(mesh: ServingMesh, node: NodeId) -> None:
            if losses and mesh.network.node(node) is not None:
                losses.pop()(mesh, node)

        told = Told()
        told.run = run = await mesh.dispatch.submit(job, make_request(60.0))
        try:
            async for event in run.events():
                if isinstance(event, Chunk):
                    told.texts[event.index] = told.texts.get(event.index, "") + event.text
                    told.times.append(asyncio.get_running_loop().time())
                    if len(told.times) in at:
                        lose(mesh, run.node)
                elif isinstance(event, Finish):
                    told.finish = event
        finally:
            await run.close()
        check_answer(told, job, [engine for engine in engines if engine.jobs])
        assert not mesh.dispatch.outstanding


@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_to_workers_the_answer_is_whole(seed: int) -> None:
    run_virtual(random_story(seed))


# ── Deliberate bugs: the checks above must find each ────────────────────────────────────────────


def forget_the_last_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The successor is told one chunk less than the client was given."""
    kept: dict[int, Chunk] = {}
    add = Answer.add

    def late(self: Answer, chunk: Chunk, *, last: bool = False) -> None:
        if (before := kept.get(id(self))) is not None:
            add(self, before)
        kept[id(self)] = chunk
        self.visible = True

    monkeypatch.setattr(Answer, "add", late)


def count_before_giving(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk counts as given, but the client never sees it, whenever a worker is new."""
    receive = MeshRun._receive

    async def losing(self: MeshRun) -> WorkerMessage:
        message = await receive(self)
        if isinstance(message, Chunk) and self._job.resume and not self._answered:
            self._answer.add(message)
            message = await receive(self)
        return message

    monkeypatch.setattr(MeshRun, "_receive", losing)


def read_an_older_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that was left is still listened to, and taken for its successor."""
    opened: list[asyncio.Task[bytes | None]] = []
    receive = RemoteAttempt.receive

    async def listen_on(self: RemoteAttempt) -> WorkerMessage:
        heard = [late for late in opened if late.done() and not late.cancelled()]
        for late in heard:
            opened.remove(late)
            if late.exception() is None and (data := late.result()) is not None:
                return decode(data)
        return await receive(self)

    def leave(self: RemoteAttempt) -> None:
        stream, reading = self._stream, self._stream._reading  # type: ignore[attr-defined]
        if reading is not None and not reading.done():
            reading.set_exception(LinkClosed("left"))
            opened.append(asyncio.get_running_loop().create_task(hear_again(stream)))

    async def hear_again(stream: Stream) -> bytes | None:
        await asyncio.sleep(0)
        return await stream.receive()

    monkeypatch.setattr(RemoteAttempt, "receive", listen_on)
    monkeypatch.setattr(RemoteAttempt, "cancel", leave)


def draw_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every worker draws with a seed of its own."""
    monkeypatch.setattr(run_module, "EXACT_ENGINES", frozenset())
    start = MeshDispatch.start_attempt

    async def reseeded(
        self: MeshDispatch, candidate: Any, job: JobSpec, request: Any, attempt: int
    ) -> Attempt:
        sampling = replace(job.sampling, seed=attempt)
        return await start(self, candidate, replace(job, sampling=sampling), request, attempt)

    monkeypatch.setattr(MeshDispatch, "start_attempt", reseeded)


def start_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """The successor is not told what was given out."""
    emitted = Answer.emitted
    nothing = Emitted("", ())
    monkeypatch.setattr(Answer, "emitted", lambda self: (nothing,) * len(emitted(self)))


@pytest.mark.parametrize(
    ("bug", "finding"),
    [
        (forget_the_last_chunk, "told.texts"),
        (count_before_giving, "told.texts"),
        (read_an_older_attempt, "told.texts"),
        (draw_anew, "different seeds"),
        (start_anew, "told.texts"),
    ],
)
def test_a_deliberate_bug_is_found(
    bug: Callable[[pytest.MonkeyPatch], None], finding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bug(monkeypatch)

    def finds(seed: int) -> bool:
        try:
            run_virtual(random_story(seed))
        except AssertionError as found:
            return finding in str(found)
        except (JobFailed, WireError):
            return False
        return False

    assert any(finds(seed) for seed in range(40))
