"""Real daemons of a founded mesh: a stranger gets nothing from members, and is taken by +open."""

from __future__ import annotations

import aiohttp

from tests.integration.group.founded_mesh import FoundedMesh, electrons
from tests.integration.mesh.daemon import Daemon, until, until_model


async def granted(
    founded: FoundedMesh, role: str, network: str, *arguments: str, join: Daemon | None = None
) -> Daemon:
    """A node with a grant of that role."""
    data, root = str(founded.folder / f"{role}-data"), str(founded.folder / "root")
    await electrons("mesh", "grant", root, "--data-dir", data, "--role", role)
    words = ("--network", network, "--data-dir", data, *arguments)
    return await founded.daemons.start(*words, join=join)


async def peers(daemon: Daemon) -> set[str]:
    return {peer["node_id"] for peer in (await daemon.get("/api/peers"))["peers"]}


async def models(daemon: Daemon) -> list[str]:
    return [each["id"] for each in (await daemon.get("/v1/models"))["data"]]


async def asked(daemon: Daemon) -> int:
    """The status that a job for the members' model gets there."""
    body = {"model": "demo", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{daemon.http}/v1/chat/completions", json=body) as answer,
    ):
        return answer.status


async def notes(daemon: Daemon) -> str:
    return "\n".join((await daemon.get("/api/node"))["notes"])


async def test_a_stranger_gets_nothing_from_members_and_an_open_node_takes_it(
    founded: FoundedMesh,
) -> None:
    closed = str((await electrons("mesh", "create", str(founded.folder / "root")))["mesh_id"])
    opened, start = f"{closed}+open", founded.daemons.start
    worker = await granted(founded, "worker", closed, "--engine", "demo")
    stranger = await start("--network", closed, "--engine", "none", join=worker)
    gateway = await granted(founded, "gateway", opened, "--engine", "none", join=worker)
    guest = await start("--network", opened, "--engine", "none", join=gateway)

    async def turned_away() -> bool:
        return "says: this mesh takes members only" in await notes(stranger)

    await until(turned_away)
    assert await peers(stranger) == set() and await models(stranger) == []
    assert await asked(stranger) == 404
    assert stranger.node_id not in await peers(worker)

    await until_model(gateway, "demo")

    async def found() -> bool:
        return guest.node_id in await peers(gateway) and gateway.node_id in await peers(guest)

    await until(found)
    assert guest.node_id not in await peers(worker), "members believe no record of a guest"
