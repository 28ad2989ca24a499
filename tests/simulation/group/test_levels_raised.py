"""The group's level is raised once every member's release knows the next one, and not before."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from coordinator.group import group as group_module
from coordinator.state.levels import LATEST
from mesh.wire.group import Level, Refused
from tests.simulation.group.coordinating_mesh import (
    CoordinatingMesh,
    Coordinator,
    coordinating_mesh,
    until,
)
from tests.simulation.virtual_time import run_virtual

pytestmark = pytest.mark.usefixtures("one_thread")


def levels(nodes: list[Coordinator]) -> set[int]:
    return {node.coordination.state.level for node in nodes if node.coordination.state is not None}


async def reach_latest(mesh: CoordinatingMesh, nodes: list[Coordinator]) -> None:
    await until(lambda: levels(nodes) == {LATEST}, 20.0)
    digests = {node.coordination.state.rows.digest() for node in nodes if node.coordination.state}
    await mesh.settle(nodes)
    assert len({digest for _, digest in digests}) == 1


def test_a_group_of_one_release_is_at_its_level_at_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with coordinating_mesh(tmp_path, seed=61) as mesh:
            nodes = await mesh.found(3)
            await reach_latest(mesh, nodes)

    run_virtual(story())


@pytest.mark.parametrize(
    "old", [Level(LATEST - 1), Refused("what?")], ids=["a level less", "from before levels"]
)
def test_one_old_member_holds_the_level_until_it_is_updated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: Level | Refused
) -> None:
    async def story() -> None:
        async with coordinating_mesh(tmp_path, seed=62) as mesh:
            answer = group_module.Group.answer
            late = mesh.add(founds=False)
            first = mesh.add(founds=True)

            async def old_answer(
                self: group_module.Group, request: object, timeout: float
            ) -> object:
                given = await answer(self, request, timeout)  # type: ignore[arg-type]
                mine = self._own == late.id
                return old if mine and isinstance(given, Level) else given

            with monkeypatch.context() as releases:
                releases.setattr(group_module.Group, "answer", old_answer)
                releases.setattr("coordinator.group.raising.LOOK_EVERY", 30.0)
                nodes = [first, late]
                for node in nodes:
                    await node.start(nodes)
                await mesh.settle(nodes)
                await asyncio.sleep(60.0)
                assert levels(nodes) == {LATEST - 1}
            await reach_latest(mesh, nodes)

    run_virtual(story())
