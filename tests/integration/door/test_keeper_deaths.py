"""Keepers die and come back, nodes behind doors die: names follow, and visitors are not left."""

from __future__ import annotations

import ssl

import pytest

from tests.integration.door.doorway_mesh import DoorMesh, kept
from tests.integration.door.visitor import raw_visit
from tests.integration.mesh.daemon import until


async def test_a_name_comes_back_with_its_keeper(mesh: DoorMesh) -> None:
    keeper = await mesh.keeper()
    node = await (await mesh.behind(keeper, "--public-name", "alice")).open()
    folder, door = keeper.log.parent / "node-0", node.port
    await keeper.kill()

    async def closed() -> bool:
        return not (await node.facts())["url"]

    await until(closed)
    again = await mesh.keeper(
        *("--data-dir", str(folder), "--mesh", keeper.mesh, "--door", f"127.0.0.1:{door}")
    )
    assert again.node_id == keeper.node_id
    before = node.fingerprint
    await node.open()
    assert (node.port, node.fingerprint) == (door, before)
    assert (await node.visit("/health"))[0] == 200


async def test_who_is_there_when_the_node_dies_is_let_go(mesh: DoorMesh) -> None:
    keeper = await mesh.keeper()
    node = await (await mesh.behind(keeper)).open()
    async with raw_visit(node.url) as visit:
        await node.daemon.kill()
        assert await visit.rest() == b""

    async def unlinked() -> bool:
        return bool((await keeper.get("/api/node"))["links"] == 0)

    await until(unlinked)
    with pytest.raises(ssl.SSLError, match="unrecognized name"):
        async with raw_visit(node.url):
            raise AssertionError("somebody answers in its name")
    assert (await kept(keeper))["connections"] == 0
