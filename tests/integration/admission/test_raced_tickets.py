"""Fifty nodes and one ticket, over real links, while the leading coordinator is killed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from mesh.identity.ticket import Contact, decode_ticket
from mesh.ids import NodeId
from tests.integration.admission.racing_newcomers import Race, race
from tests.integration.admission.ticketed_mesh import TicketedMesh, electrons
from tests.integration.group.founded_mesh import FoundedMesh
from tests.integration.mesh.daemon import Daemons, until

NEWCOMERS = 50
FEWER = 25


async def test_one_of_fifty_gets_in(ticketed: TicketedMesh) -> None:
    await ticketed.found()
    ticket = decode_ticket(await ticketed.invite())
    ended = Race()
    await race(ticket, NEWCOMERS, ended)
    assert len(ended.granted) == 1
    assert ended.refused == {"used_up": NEWCOMERS - 1}
    assert set(await ticketed.members()) == set(ended.granted)


@pytest.fixture
async def founded(tmp_path: Path) -> FoundedMesh:
    (tmp_path / "logs").mkdir()
    return FoundedMesh(tmp_path, Daemons(tmp_path / "logs"))


async def test_the_leader_is_killed_while_all_ask(founded: FoundedMesh) -> None:
    try:
        nodes = await founded.start(3)
        leader = await founded.settled(nodes, 3)
        others = [node for node in nodes if node is not leader]

        async def invited() -> str:
            asked = await electrons("invite", "--json", "--data-dir", str(others[0].folder))
            return str(json.loads(asked.out)["ticket"]) if asked.code == 0 else ""

        ticket = decode_ticket(await until(invited, 20.0))
        contacts = tuple(
            Contact(NodeId(node.node_id), (f"tcp://{node.address}",)) for node in nodes
        )
        ended = Race()

        async def begun() -> bool:
            return ended.told > 0

        racing = asyncio.ensure_future(race(ticket, FEWER, ended, contacts))
        await until(begun)
        assert ended.told < FEWER, "the race was over before anybody died"
        await leader.kill()
        await racing
        members = json.loads(
            (await electrons("members", "--json", "--data-dir", str(others[0].folder))).out
        )["members"]
        assert len(ended.granted) == 1
        assert ended.refused == {"used_up": FEWER - 1}
        assert {member["node_id"] for member in members} == set(ended.granted)
    finally:
        await founded.daemons.stop()
