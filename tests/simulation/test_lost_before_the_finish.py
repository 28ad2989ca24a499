"""A worker is lost between the last word of an answer and its Finish: nothing is added."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from mesh.capability import ModelRef
from mesh.ids import NodeId
from mesh.jobs import Chunk, Emitted, Finish, JobSpec, Usage
from mesh.wire.jobs import Finished, WorkerMessage
from services.engines.engine import Event
from tests.simulation.listening import Told, crash, job_of, listen
from tests.simulation.resumable import TEXTUAL
from tests.simulation.serving_mesh import ServingMesh, serving_mesh
from tests.simulation.virtual_time import run_virtual

END_SECONDS = 3.0
"""Between the end of the choice and that of the job."""


class SlowToFinish:
    """Tells no ids, and would go on with its text for as long as it feels like."""

    name = "slow to finish"

    def __init__(self, length: int, *, with_last_word: bool, pause: float = END_SECONDS) -> None:
        self._length = length
        self._with_last_word = with_last_word
        self._pause = pause

    async def run(self, job: JobSpec, model: ModelRef) -> AsyncGenerator[Event, None]:
        before = job.resume[0] if job.resume else Emitted()
        start = before.text.count(" ")
        for number in () if before.finished else range(start, self._length):
            await asyncio.sleep(0.05)
            last = number == self._length - 1 and self._with_last_word
            yield Chunk(f"{number} ", end="stop" if last else "")
        if not (before.finished or self._with_last_word):
            yield Chunk("", end="stop")
        await asyncio.sleep(self._pause)
        yield Finish(("length",), Usage(1, start))


@pytest.mark.parametrize("with_last_word", [True, False])
def test_the_end_of_the_only_choice_outlives_its_worker(with_last_word: bool) -> None:
    async def story() -> Told:
        async with serving_mesh() as mesh:
            mesh.add_worker(SlowToFinish(10, with_last_word=with_last_word), model=TEXTUAL)

            def crash_soon(mesh: ServingMesh, node: NodeId) -> None:
                asyncio.get_running_loop().call_later(1.0, crash, mesh, node)
                mesh.add_worker(SlowToFinish(20, with_last_word=with_last_word), model=TEXTUAL)

            return await listen(mesh, job_of(), after=5, do=crash_soon)

    told = run_virtual(story())
    assert told.texts == {0: "".join(f"{number} " for number in range(10))}
    assert told.finish is not None
    assert told.finish.reasons == ("stop",)
    assert len(told.resumed) == 1


def test_a_finish_that_comes_at_once_needs_no_message_before_it() -> None:
    async def story() -> list[WorkerMessage]:
        sent: list[WorkerMessage] = []

        async def send(message: WorkerMessage) -> None:
            sent.append(message)

        async with serving_mesh() as mesh:
            host = mesh.host_of(SlowToFinish(3, with_last_word=False, pause=0.0), model=TEXTUAL)
            await host.execute(mesh.offer_of(job_of()), send)
            await asyncio.sleep(1.0)
        return sent

    *chunks, finished = run_virtual(story())
    assert chunks == [Chunk("0 "), Chunk("1 "), Chunk("2 ")]
    assert isinstance(finished, Finished)
    assert finished.last is None
