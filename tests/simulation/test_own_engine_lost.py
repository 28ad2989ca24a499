"""The gateway's own engine breaks down midway, and a peer goes on."""

from __future__ import annotations

import pytest

from mesh.capability import ModelRef
from tests.simulation.listening import check_answer, job_of, listen
from tests.simulation.resumable import EXACT, TEXTUAL, ResumableEngine
from tests.simulation.serving_mesh import Shelf, serving_mesh
from tests.simulation.virtual_time import run_virtual


@pytest.mark.parametrize("model", [EXACT, TEXTUAL])
@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("stream", [True, False])
def test_a_peer_goes_on_with_what_the_gateway_itself_began(
    model: ModelRef, n: int, stream: bool
) -> None:
    async def story() -> None:
        with_ids = model is EXACT
        own = ResumableEngine(with_ids=with_ids, fails_at=15)
        async with serving_mesh(own=Shelf(own, slots=1, model=model)) as mesh:
            peer = ResumableEngine(with_ids=with_ids)
            node = mesh.add_worker(peer, model=model)
            for _ in range(20):  # until the draw falls on the gateway itself
                own.generated = peer.generated = 0
                own.jobs.clear()
                peer.jobs.clear()
                job = job_of(n, stream=stream)
                told = await listen(mesh, job)
                check_answer(told, job, [own, peer])
                if own.jobs:
                    break
            assert own.jobs
            assert told.resumed == [node]
            assert not mesh.dispatch.outstanding

    run_virtual(story())
