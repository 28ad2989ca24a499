"""Declared services, from any coordinator, as everybody has confirmed them."""

from __future__ import annotations

from pathlib import Path

import pytest

from coordinator.group.targets import GroupTargets
from mesh.errors import InvalidRequest, NoQuorum
from mesh.targets import ServiceTarget
from tests.simulation.group.coordinating_mesh import Coordinator, coordinating_mesh
from tests.simulation.virtual_time import run_virtual

pytestmark = pytest.mark.usefixtures("one_thread")


def targets_of(node: Coordinator) -> GroupTargets:
    coordination = node.coordination
    return GroupTargets(coordination.group, lambda: coordination.state, node.clock)


def test_services_are_declared_and_removed_from_anywhere(tmp_path: Path) -> None:
    async def story() -> None:
        async with coordinating_mesh(tmp_path, seed=40) as mesh:
            first, second, third = [targets_of(node) for node in await mesh.found(3)]
            await first.set(ServiceTarget("story", "demo"))
            assert await second.list() == (ServiceTarget("story", "demo"),)
            assert await third.remove("story")
            assert not await first.remove("story")
            assert await second.list() == ()
            with pytest.raises(InvalidRequest):
                await first.set(ServiceTarget("story", "x" * 10_000))

    run_virtual(story())


def test_who_was_not_taken_in_yet_knows_no_services(tmp_path: Path) -> None:
    async def story() -> None:
        async with coordinating_mesh(tmp_path, seed=41) as mesh:
            node = mesh.add()
            await node.start()
            with pytest.raises(NoQuorum, match="not been taken"):
                await targets_of(node).list()

    run_virtual(story())
