"""In a founded mesh only nodes with the role `relay` are believed to keep doors."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.door.doorway_mesh import DOMAIN, KEY, Behind
from tests.integration.group.founded_mesh import electrons
from tests.integration.mesh.daemon import Daemon, Daemons, until

DOOR = ("--door", "127.0.0.1:0", "--door-domain", DOMAIN)
PUBLIC = ("--access", "keys", "--public-door")


class Granted:
    """Nodes of one founded mesh."""

    def __init__(self, folder: Path, daemons: Daemons) -> None:
        self.folder = folder
        self.daemons = daemons
        self.mesh_id = ""
        self._numbers = itertools.count()

    async def found(self) -> None:
        created = await electrons("mesh", "create", str(self.folder / "root"))
        self.mesh_id = created["mesh_id"]

    async def start(self, role: str, *arguments: str, join: Daemon | None = None) -> Daemon:
        data = self.folder / f"node-{next(self._numbers)}"
        root = str(self.folder / "root")
        await electrons("mesh", "grant", root, "--data-dir", str(data), "--role", role)
        return await self.daemons.start(
            *("--network", self.mesh_id, "--data-dir", str(data), "--engine", "none"),
            *arguments,
            join=join,
            env={"ELECTRONS_API_KEYS": KEY},
        )


@pytest.fixture
async def granted(tmp_path: Path) -> AsyncIterator[Granted]:
    (tmp_path / "logs").mkdir()
    daemons = Daemons(tmp_path / "logs")
    granted = Granted(tmp_path, daemons)
    await granted.found()
    yield granted
    await daemons.stop()


async def test_a_member_that_is_no_relay_is_not_believed(granted: Granted) -> None:
    pretender = await granted.start("worker", *DOOR)
    behind = Behind(await granted.start("worker", *PUBLIC, pretender.node_id, join=pretender))

    async def refused() -> bool:
        return "was not granted the role relay" in (await behind.facts())["reason"]

    await until(refused)


async def test_a_name_follows_to_another_relay(granted: Granted) -> None:
    keeper = await granted.start("relay", *DOOR)
    second, behind = await asyncio.gather(
        granted.start("relay", *DOOR, join=keeper),
        granted.start("worker", *PUBLIC, "auto", join=keeper),
    )
    found = await Behind(behind).open()
    assert (await found.visit("/health/live"))[0] == 200
    first = (await found.facts())["keeper"]
    await (keeper if first == keeper.node_id else second).kill()
    await found.open(not_at=first)
    assert (await found.visit("/health/live"))[0] == 200
