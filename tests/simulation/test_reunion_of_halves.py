"""A mesh that falls apart is one again soon after its network heals."""

from __future__ import annotations

import asyncio

import pytest

from tests.simulation.discovering_node import DiscoveringMesh, discovering_mesh, until
from tests.simulation.virtual_time import run_virtual

COUNT = 16


async def fall_apart(mesh: DiscoveringMesh, seconds: float) -> float:
    """Two halves that know nobody of the other one; seconds from healing until all know all."""
    nodes = [mesh.start(f"model-{number}") for number in range(COUNT)]
    for node in nodes[1:]:
        await node.dial(nodes[0])
    await until(lambda: all(len(node.knows()) == COUNT - 1 for node in nodes))
    halves = nodes[::2], nodes[1::2]
    mesh.network.partition(*[[node.id for node in half] for half in halves])
    await asyncio.sleep(seconds)
    for half in halves:
        expected = {node.id for node in half}
        assert all(node.knows() | {node.id} == expected for node in half)
    mesh.network.heal()
    return await until(lambda: all(len(node.knows()) == COUNT - 1 for node in nodes), timeout=120.0)


@pytest.mark.parametrize("seed", range(4))
def test_halves_of_ten_seconds_are_whole_within_five(seed: int) -> None:
    async def story() -> float:
        async with discovering_mesh(seed=seed) as mesh:
            return await fall_apart(mesh, 10.0)

    assert run_virtual(story()) <= 5.0


def test_halves_of_ten_minutes_are_whole_again_without_anybodys_help() -> None:
    async def story() -> float:
        async with discovering_mesh(seed=9) as mesh:
            return await fall_apart(mesh, 600.0)

    assert run_virtual(story()) <= 60.0
