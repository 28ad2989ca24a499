"""Coordinators by ticket, administrators that are no coordinators, and what nobody may."""

from __future__ import annotations

import json

from mesh.identity.keys import NodeKey
from tests.integration.admission.ticketed_mesh import TicketedMesh, electrons
from tests.integration.mesh.daemon import until


async def test_a_coordinator_joins_by_ticket_and_others_join_through_it(
    ticketed: TicketedMesh,
) -> None:
    founder = await ticketed.found()
    second = await ticketed.join(
        await ticketed.invite(roles=["coordinator", "worker"]), "second", "--engine", "none"
    )

    async def taken_in() -> bool:
        members = (await second.get("/api/coordinators"))["members"]
        return {second.node_id, founder.node_id} == {member["node_id"] for member in members}

    await until(taken_in, 20.0)
    data = ("--data-dir", str(ticketed.folder / "second"))

    async def invited() -> str:
        asked = await electrons("invite", "--json", *data)
        return str(json.loads(asked.out)["ticket"]) if asked.code == 0 else ""

    ticket = await until(invited, 20.0)
    worker = await ticketed.join(ticket, "worker", "--engine", "demo")
    assert set(await ticketed.members()) == {second.node_id, worker.node_id}
    more = await electrons("invite", "--role", "coordinator", *data)
    assert more.code == 1 and "admin" in more.err


async def test_an_administrator_need_not_coordinate(ticketed: TicketedMesh) -> None:
    founder = await ticketed.found()
    admin = ticketed.folder / "admin"
    admin.mkdir(mode=0o700)
    node = NodeKey.load_or_create(admin / "node.key").node_id
    granted = await electrons(
        *("mesh", "grant", str(ticketed.folder / "root"), "--role", "admin", "--role", "worker"),
        *("--data-dir", str(admin)),
    )
    assert granted.code == 0, granted.err
    running = await ticketed.daemons.start(
        *("--network", ticketed.mesh_id, "--data-dir", str(admin), "--engine", "none"),
        join=founder,
    )
    assert running.node_id == node

    async def invited() -> str:
        asked = await electrons(
            "invite", "--role", "coordinator", "--json", "--data-dir", str(admin)
        )
        return str(json.loads(asked.out)["ticket"]) if asked.code == 0 else ""

    ticket = await until(invited, 20.0)
    helper = await ticketed.join(ticket, "helper", "--engine", "none")
    trail = (await ticketed.api("GET", "/api/audit"))["rows"]
    assert [row["by"] for row in trail if row["what"] == "invited"] == [node]
    revoked = await electrons("revoke", helper.node_id, "--data-dir", str(admin))
    assert revoked.code == 0, revoked.err
    assert await ticketed.members() == {}


async def test_what_a_worker_and_a_ticket_cannot_do(ticketed: TicketedMesh) -> None:
    await ticketed.found()
    worker = await ticketed.join(await ticketed.invite(), "worker", "--engine", "none")
    data = ("--data-dir", str(ticketed.folder / "worker"))

    async def refused() -> str:
        ended = await electrons("invite", *data)
        assert ended.code == 1
        return ended.err if "granted admin" in ended.err else ""

    assert await until(refused, 20.0)
    for command in (("members",), ("revoke", worker.node_id), ("audit",)):
        ended = await electrons(*command, *data)
        assert ended.code == 1 and "granted admin" in ended.err
    root_only = await electrons("invite", "--role", "admin", "--data-dir", str(ticketed.host))
    assert root_only.code == 1 and "root key" in root_only.err
    itself = await electrons(
        "revoke", ticketed.founder.node_id if ticketed.founder else "", "--data-dir",
        str(ticketed.host),
    )  # fmt: skip
    assert itself.code == 1 and "does not revoke itself" in itself.err
