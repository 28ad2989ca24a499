"""Members whose disk, or code, fails are silent and say so; the rest go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from coordinator.group.member import Member
from mesh.errors import StorageError
from tests.simulation.group.coordinating_mesh import coordinating_mesh, until
from tests.simulation.virtual_time import run_virtual

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_member_whose_disk_fails_is_silent_and_the_rest_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with coordinating_mesh(tmp_path, seed=30) as mesh:
            nodes = await mesh.found(3)
            leader = await mesh.leader(nodes)
            assert leader.folder.opened is not None
            failing = leader.folder.opened.log

            async def fail(*_: object, **__: object) -> None:
                raise StorageError("no space left")

            monkeypatch.setattr(failing, "save", fail)
            rest = [node for node in nodes if node is not leader]
            await rest[0].write("color", "red")
            await mesh.leader(rest, 2.0)
            assert not leader.leads
            assert "no space left" in leader.coordination.note()
            assert leader.knows_of() is None

    run_virtual(story())


def test_a_mistake_in_the_loop_silences_the_member(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with coordinating_mesh(tmp_path, seed=31) as mesh:
            nodes = await mesh.found(3)
            leader = await mesh.leader(nodes)
            keep = Member._do

            async def stumble(self: Member, ready: object) -> None:
                if self is leader.member:
                    raise ValueError("a bug")
                await keep(self, ready)  # type: ignore[arg-type]

            monkeypatch.setattr(Member, "_do", stumble)
            rest = [node for node in nodes if node is not leader]
            await mesh.leader(rest, 3.0)
            assert not leader.leads
            assert "mistake of its own" in leader.coordination.note()

    run_virtual(story())


def test_a_coordinator_taken_in_while_its_disk_fails_tries_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with coordinating_mesh(tmp_path, seed=32) as mesh:
            (first,) = await mesh.found(1)
            await first.write("color", "red")
            late = mesh.add()
            (late.data / "coordinator").mkdir(parents=True, mode=0o700)
            (late.data / "coordinator" / "log").write_text("in the way")
            await late.start(mesh.nodes)
            await until(lambda: "log" in late.coordination.note(), 5.0)
            (late.data / "coordinator" / "log").unlink()
            await until(lambda: late.holds("color") == "red", 15.0)
            assert late.coordination.note() == ""

    run_virtual(story())
