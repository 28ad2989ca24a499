"""Real coordinators: killed one by one and all at once, they keep what they acknowledged."""

from __future__ import annotations

import asyncio

from tests.integration.group.founded_mesh import FoundedMesh, GrantedNode
from tests.integration.mesh.daemon import until, until_model


async def test_what_was_declared_survives_the_leader_and_then_everybody(
    founded: FoundedMesh,
) -> None:
    nodes = await founded.start(3)
    leader = await founded.settled(nodes, 3)
    others = [node for node in nodes if node is not leader]
    # No node holds it: the declaration is kept all the same, and the gap is told.
    await others[0].command("services", "set", "first", "--model", "nobody-has-this")
    assert {frozenset(await node.services()) for node in nodes} == {frozenset({"first"})}

    await leader.kill()
    await others[1].command("services", "set", "second", "--model", "nor-this")
    successor = await founded.settled(others, 3)
    assert successor is not leader
    await until(lambda: silent_and_leading(others[0], leader, successor))
    await leader.start(founded.daemons)
    await founded.settled(nodes, 3)
    assert await leader.services() == {"first", "second"}

    late = await founded.grant()
    await late.start(founded.daemons, nodes[1])
    await until(lambda: stands_by(late, nodes[0]))
    assert await late.services() == {"first", "second"}

    await until(late.remembers_peers)  # within 2 s of its start; before that nobody could find it
    everyone = [*nodes, late]
    await asyncio.gather(*(node.kill() for node in everyone))
    await asyncio.gather(*(node.start(founded.daemons) for node in everyone))
    await founded.settled(everyone, 3)
    names = [await node.services() for node in everyone]
    assert names == [{"first", "second"}] * 4
    await nodes[1].command("services", "remove", "first")

    async def told() -> bool:
        gaps = await late.command("gaps")
        return [each["service"] for each in gaps["services"]] == ["second"] and not gaps["note"]

    await until(told)
    gaps = await late.command("gaps")
    assert gaps["services"][0]["level"] == "critical"
    assert gaps["services"][0]["reasons"] == ["no node holds model nor-this"]


async def silent_and_leading(asked: GrantedNode, dead: GrantedNode, leader: GrantedNode) -> bool:
    """Whether the list shows who is dead and who leads."""
    shown = {member["node_id"]: member for member in (await asked.coordinators())["members"]}
    return bool(shown[dead.node_id]["silent"] and shown[leader.node_id]["leads"])


async def stands_by(node: GrantedNode, asked: GrantedNode) -> bool:
    members = (await asked.coordinators())["members"]
    return any(m["node_id"] == node.node_id and m["part"] == "standby" for m in members)


async def test_a_declared_model_starts_somewhere_and_moves_when_its_node_dies(
    founded: FoundedMesh,
) -> None:
    nodes = await founded.start(3)
    await nodes[2].command("services", "set", "story", "--model", "demo")

    async def serving() -> list[GrantedNode]:
        return [node for node in nodes if await node.serves()]

    (first,) = await until(serving)
    rest = [node for node in nodes if node is not first]
    for node in rest:
        await until_model(node.running, "demo")
    await first.kill()

    async def moved() -> bool:
        return any([await node.serves() for node in rest])

    await until(moved)
    shown = await rest[0].command("coordinators")
    assert shown["leader"] in {node.node_id for node in rest}


async def test_an_open_mesh_has_no_coordinators_and_says_so(founded: FoundedMesh) -> None:
    daemon = await founded.daemons.start("--engine", "none")
    answer = await daemon.get("/api/coordinators")
    assert (answer["group"], answer["members"]) == (None, [])
    assert "no coordinator" in answer["note"]
