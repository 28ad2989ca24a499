"""A client that takes whole answers, what may befall its worker, and what must be true after."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from mesh.ids import NodeId
from mesh.jobs import Chunk, Finish, JobSpec, Sampling, Usage
from mesh.ports import Resumed
from node.dispatch.run import MeshRun
from tests.simulation.resumable import PROMPT_TOKENS, ResumableEngine, whole
from tests.simulation.serving_mesh import ServingMesh, make_job, make_request

LOSS = 32
"""Tokens that may be generated in vain for each worker that is lost."""


@dataclass
class Told:
    """What the client was told, and when."""

    texts: dict[int, str] = field(default_factory=dict)
    resumed: list[NodeId] = field(default_factory=list)
    finish: Finish | None = None
    times: list[float] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    run: MeshRun | None = None

    @property
    def longest_gap(self) -> float:
        return max(later - earlier for earlier, later in pairwise(self.times))


Event = Callable[[ServingMesh, NodeId], None]


def job_of(n: int = 1, *, stream: bool = True, seed: int | None = None, **more: Any) -> JobSpec:
    return replace(make_job(), sampling=Sampling(n=n, seed=seed), stream=stream, **more)


async def listen(
    mesh: ServingMesh,
    job: JobSpec,
    *,
    after: int = -1,
    do: Event | None = None,
    slow: float = 0.0,
) -> Told:
    """Take the whole answer; at chunk `after` something happens to the worker."""
    told = Told()
    run = told.run = await mesh.dispatch.submit(job, make_request())
    loop = asyncio.get_running_loop()
    try:
        async for event in run.events():
            if isinstance(event, Chunk):
                told.texts[event.index] = told.texts.get(event.index, "") + event.text
                told.times.append(loop.time())
                told.counts.append(event.text.count(" "))
                await asyncio.sleep(slow)
                if len(told.times) == after and do is not None:
                    do(mesh, run.node)
            elif isinstance(event, Resumed):
                told.resumed.append(event.node)
            elif isinstance(event, Finish):
                told.finish = event
    finally:
        await run.close()
    return told


def check_answer(told: Told, job: JobSpec, engines: list[ResumableEngine]) -> None:
    """Exact text of every choice, honest usage, and little generated in vain."""
    seeds = {done.sampling.seed for engine in engines for done in engine.jobs}
    assert len(seeds) == 1, "workers drew with different seeds"
    seed = seeds.pop()
    count = job.sampling.n
    lengths = [engines[0].length_of(index) for index in range(count)]
    expected = {index: whole(seed, index, lengths[index]) for index in range(count)}
    assert told.texts == expected, "told.texts"
    assert told.finish is not None
    assert told.finish.usage == Usage(PROMPT_TOKENS, sum(lengths))
    assert len(told.finish.reasons) == count
    generated = sum(engine.generated for engine in engines)
    assert told.run is not None
    assert generated <= sum(lengths) + LOSS * (told.run.attempts - 1)


def crash(mesh: ServingMesh, node: NodeId) -> None:
    mesh.network.crash(node)


def freeze(mesh: ServingMesh, node: NodeId) -> None:
    mesh.network.freeze(node)


def freeze_for_a_while(mesh: ServingMesh, node: NodeId) -> None:
    """It comes back after it was left, and sends what it still had."""
    mesh.network.freeze(node)
    asyncio.get_running_loop().call_later(1.6, mesh.network.heal)


def cut_off(mesh: ServingMesh, node: NodeId) -> None:
    mesh.network.partition([mesh.gateway.node_id], [node])
