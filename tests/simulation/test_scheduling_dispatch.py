"""How the dispatcher chooses among more workers than it looks at. In virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from coordinator.scheduling.policy import Decision
from coordinator.scheduling.scout import DRAWN
from mesh.capability import ModelRef, ServedModel
from mesh.ids import NodeId
from mesh.jobs import JobSpec
from mesh.ports import Link, Provider, Stream
from mesh.wire.jobs import Refuse, encode
from tests.simulation.serving_mesh import (
    ServingMesh,
    WordsEngine,
    make_job,
    make_request,
    serving_mesh,
)
from tests.simulation.virtual_time import run_virtual

MANY = 4 * DRAWN


async def refuse_as_busy(link: Link, stream: Stream) -> None:
    await stream.receive()
    await stream.send(encode(Refuse("busy", "full", 5.0)))


def set_context(mesh: ServingMesh, node: NodeId, tokens: int) -> None:
    provider = mesh.view.listed[node]
    ref = ModelRef("m", "test", context=tokens)
    mesh.view.listed[node] = Provider(provider.peer, replace(provider.model, ref=ref))


async def run_whole(mesh: ServingMesh, job: JobSpec) -> NodeId:
    run = await mesh.dispatch.submit(job, make_request())
    try:
        async for _ in run.events():
            pass
        return run.node
    finally:
        await run.close()


def test_the_one_worker_with_room_is_found_among_many_busy_ones() -> None:
    async def story() -> bool:
        async with serving_mesh() as mesh:
            for _ in range(MANY):
                mesh.add_node(refuse_as_busy)
            free = mesh.add_worker(WordsEngine(), slots=4)
            answers = [await mesh.ask(deadline=30.0) for _ in range(3)]
            return all(node == free for _, node, _ in answers)

    assert run_virtual(story())


def waits_of(seed: int) -> int:
    """How often a request waited although 2 of 50 workers were free all the time."""

    async def story() -> int:
        async with serving_mesh(seed) as mesh:
            for _ in range(MANY):
                mesh.add_node(refuse_as_busy)
            for _ in range(2):
                mesh.add_worker(WordsEngine(), slots=4)
            await mesh.ask(deadline=30.0)
            trace = mesh.dispatch.traces.find("0" * 32, None)
            assert trace is not None
            return sum(step.kind == "waited" for step in trace.steps)

    return run_virtual(story())


def test_nobody_waits_while_there_are_others_to_draw() -> None:
    assert sum(waits_of(seed) for seed in range(20)) <= 3


def test_waiting_for_those_that_were_drawn_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Decision, "sampled", False)
    assert sum(waits_of(seed) for seed in range(20)) > 3


def test_the_one_worker_that_can_is_found_among_many_that_cannot() -> None:
    async def story() -> bool:
        async with serving_mesh() as mesh:
            for _ in range(MANY):
                set_context(mesh, mesh.add_worker(WordsEngine()), 10)
            able = mesh.add_worker(WordsEngine())
            job = replace(make_job(), messages=({"role": "user", "content": "owl " * 100},))
            return [await run_whole(mesh, job) for _ in range(5)] == [able] * 5

    assert run_virtual(story())


def test_a_conversation_goes_on_where_it_began() -> None:
    opening = {"role": "system", "content": "You know all about owls and say so. " * 400}

    async def story() -> list[set[NodeId]]:
        async with serving_mesh() as mesh:
            for _ in range(MANY):
                mesh.add_worker(WordsEngine(), slots=4)
            served = []
            for talk in range(4):
                turns = [opening, {"role": "user", "content": f"owl {talk}" * 200}]
                nodes = set()
                for turn in range(4):
                    job = replace(make_job(), messages=tuple(turns))
                    nodes.add(await run_whole(mesh, job))
                    turns += [{"role": "assistant", "content": f"{turn}"}]
                    turns += [{"role": "user", "content": "and?"}]
                served.append(nodes)
            return served

    assert [len(nodes) for nodes in run_virtual(story())] == [1, 1, 1, 1]


def test_a_worker_that_turns_slow_is_left_alone_soon() -> None:
    async def story() -> tuple[Counter[bool], Counter[bool]]:
        async with serving_mesh() as mesh:
            engines = [WordsEngine(pace=0.02, count=20) for _ in range(4)]
            nodes = [mesh.add_worker(engine, slots=16) for engine in engines]
            for node in nodes:
                provider = mesh.view.listed[node]
                told = ServedModel(provider.model.ref, 16, speed=12.0)
                mesh.view.listed[node] = Provider(provider.peer, told)

            async def burst(seconds: float) -> Counter[bool]:
                asked = []
                async with asyncio.TaskGroup() as group:
                    for _ in range(round(seconds * 20)):
                        asked.append(group.create_task(mesh.ask(deadline=60.0)))
                        await asyncio.sleep(0.05)
                return Counter(task.result()[1] == nodes[0] for task in asked)

            before = await burst(4.0)
            engines[0].pace *= 10
            await burst(2.0)
            return before, await burst(4.0)

    before, after = run_virtual(story())
    assert before[True] >= 10
    assert after[True] <= 2
