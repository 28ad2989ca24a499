"""Workers that accept and never answer, answer garbage, twice or late, over real links.

The gateway is a daemon, so is the honest worker beside the hostile one. The stories in virtual time
are in tests/simulation/test_dispatch_stories.py and test_resumed_streams.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from mesh.identity.mesh import mesh_of_network
from mesh.ids import NodeId
from mesh.ports import Link, Stream, StreamKind
from mesh.wire.jobs import Accept, encode
from tests.integration.mesh.daemon import Daemon, Daemons, until, until_model
from tests.integration.mesh.hostile_worker import HostileWorker, RepeatedStream, hostile_worker
from tests.integration.mesh.resuming_client import Heard, hear
from tests.simulation.resumable import (
    Spoil,
    SpoiledStream,
    answer_another_choice,
    answer_late,
    be_silent,
    end_early,
    send_garbage,
)

NETWORK = "hostile-workers"
FIELDS: dict[str, Any] = {"max_tokens": 30, "seed": 5}
AT_ONCE = 4
"""Streams at one time, so that both workers have some."""
PATIENCE = 20.0
"""Seconds for all of them: a worker that never answers must not hold one until its deadline."""


@pytest.fixture
async def mesh(daemons: Daemons) -> AsyncIterator[tuple[Daemon, HostileWorker, Heard]]:
    """A gateway, the hostile worker, and what the honest one says."""
    gateway = await daemons.start("--engine", "none", "--network", NETWORK)
    words = ("--engine", "demo", "--demo-rate", "40", "--network", NETWORK)
    honest = await daemons.start(*words, join=gateway)
    expected = await hear(honest, **FIELDS)
    async with hostile_worker(mesh_of_network(NETWORK)) as hostile:
        await hostile.meet(gateway, honest)
        await until_model(gateway, "demo", nodes=2)
        yield gateway, hostile, expected


async def ask_at_once(gateway: Daemon) -> list[Heard]:
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        asked = [group.create_task(hear(gateway, **FIELDS)) for _ in range(AT_ONCE)]
    return [task.result() for task in asked]


def check(heard: Heard, expected: Heard) -> None:
    assert heard.texts == expected.texts
    assert heard.usage == expected.usage
    assert heard.reasons == expected.reasons
    assert heard.done
    assert not heard.error


async def accept_and_never_answer(spoiled: SpoiledStream, message: bytes) -> None:
    await spoiled.stream.send(encode(Accept(1, 0, 8)))
    await be_silent(spoiled, message)


@pytest.mark.parametrize(
    ("spoil", "at"),
    [
        (accept_and_never_answer, 0),
        (be_silent, 10),
        (send_garbage, 0),
        (send_garbage, 10),
        (answer_another_choice, 10),
        (end_early, 10),
        (answer_late, 0),
        (answer_late, 10),
    ],
)
async def test_a_worker_that_answers_badly_is_left_and_nobody_notices(
    mesh: tuple[Daemon, HostileWorker, Heard], spoil: Spoil, at: int
) -> None:
    gateway, hostile, expected = mesh
    hostile.spoil = partial(SpoiledStream, at=at, spoil=spoil)
    for heard in await ask_at_once(gateway):
        check(heard, expected)
    assert hostile.offers


async def test_what_a_worker_says_twice_is_heard_once(
    mesh: tuple[Daemon, HostileWorker, Heard],
) -> None:
    gateway, hostile, expected = mesh
    repeating: list[RepeatedStream] = []

    async def serve_twice(link: Link, stream: Stream) -> None:
        repeated = RepeatedStream(stream)
        await hostile.serve(link, repeated)
        repeating.append(repeated)
        await repeated.repeat()

    hostile.links.serve(StreamKind.JOB, serve_twice)
    for _ in range(2):
        for heard in await ask_at_once(gateway):
            check(heard, expected)
    assert hostile.offers

    async def all_repeated() -> bool:
        return len(repeating) == hostile.offers

    await until(all_repeated)
    link = hostile.links.get(NodeId(gateway.node_id))
    assert link is not None, "a worker that talks too much costs its job, not its link"
