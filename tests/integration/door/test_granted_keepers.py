"""In a founded mesh only nodes with the role `relay` are believed to keep doors."""

from __future__ import annotations

from pathlib import Path

from tests.integration.door.doorway_mesh import DOMAIN, KEY, Behind
from tests.integration.group.founded_mesh import electrons
from tests.integration.mesh.daemon import Daemon, Daemons, until


class Granted:
    """Nodes of one founded mesh."""

    def __init__(self, folder: Path, daemons: Daemons) -> None:
        self.folder = folder
        self.daemons = daemons
        self.mesh_id = ""

    async def found(self) -> None:
        created = await electrons("mesh", "create", str(self.folder / "root"))
        self.mesh_id = created["mesh_id"]

    async def start(self, role: str, *arguments: str, join: Daemon | None = None) -> Daemon:
        data = self.folder / f"{role}-{len(list(self.folder.iterdir()))}"
        root = str(self.folder / "root")
        await electrons("mesh", "grant", root, "--data-dir", str(data), "--role", role)
        return await self.daemons.start(
            *("--network", self.mesh_id, "--data-dir", str(data), "--engine", "none"),
            *arguments,
            join=join,
            env={"ELECTRONS_API_KEYS": KEY},
        )


async def test_only_a_relays_door_is_used_and_another_when_it_dies(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    daemons = Daemons(tmp_path / "logs")
    granted = Granted(tmp_path, daemons)
    door = ("--door", "127.0.0.1:0", "--door-domain", DOMAIN)
    try:
        await granted.found()
        pretender = await granted.start("worker", *door)
        public = ("--access", "keys", "--public-door")
        named = Behind(await granted.start("worker", *public, pretender.node_id, join=pretender))

        async def refused() -> bool:
            return "was not granted the role relay" in (await named.facts())["reason"]

        await until(refused)
        keeper = await granted.start("relay", *door, join=pretender)
        found = Behind(await granted.start("worker", *public, "auto", join=pretender))
        await found.open()
        assert (await found.facts())["keeper"] == keeper.node_id
        assert (await found.visit("/health/live"))[0] == 200
        await granted.start("relay", *door, join=pretender)
        await keeper.kill()
        await found.open(not_at=keeper.node_id)
        assert (await found.visit("/health/live"))[0] == 200
    finally:
        await daemons.stop()
