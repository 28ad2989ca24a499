"""From nothing to a served job by one pasted ticket, with real daemons and the real commands."""

from __future__ import annotations

from tests.integration.admission.ticketed_mesh import TicketedMesh, electrons
from tests.integration.mesh.daemon import until, until_model


async def test_a_ticket_brings_a_node_in_for_good(ticketed: TicketedMesh) -> None:
    founder = await ticketed.found()
    printed = await electrons("invite", "--note", "the lab", "--data-dir", str(ticketed.host))
    assert printed.code == 0 and "electrons join" in printed.err
    ticket = printed.out.strip()
    worker = await ticketed.join(ticket, "worker", "--engine", "demo")
    await until_model(founder, "demo")
    served = await electrons("generate", "hello", "--data-dir", str(ticketed.host))
    assert served.code == 0 and worker.node_id[:8] in served.err

    again = await electrons("join", ticket, "--data-dir", str(ticketed.folder / "thief"))
    assert again.code == 5 and "used already" in again.err
    assert set(await ticketed.members()) == {worker.node_id}
    assert await ticketed.trail() == ["invited", "joined", "granted"]

    await worker.stop()
    back = await ticketed.daemons.start(
        "--data-dir", str(ticketed.folder / "worker"), "--engine", "demo"
    )
    assert back.node_id == worker.node_id
    await until_model(founder, "demo")
    assert await ticketed.trail() == ["invited", "joined", "granted"], "nothing was asked for again"


async def test_what_is_wrong_with_a_ticket_is_said(ticketed: TicketedMesh) -> None:
    await ticketed.found()
    data = ("--data-dir", str(ticketed.folder / "nobody"))
    ticket = await ticketed.invite()

    cut = await electrons("join", ticket[:-9], *data)
    assert cut.code == 2 and "whole line" in cut.err
    swapped = ticket[:60] + ("a" if ticket[60] != "a" else "b") + ticket[61:]
    mistyped = await electrons("join", swapped, *data)
    assert mistyped.code == 2 and "mistyped" in mistyped.err
    for ended in (cut, mistyped):
        assert ticket[40:80] not in ended.err, "a secret would end up in somebody's log"

    invite = (await ticketed.api("GET", "/api/invites"))["invites"][0]
    removed = await electrons("invites", "remove", invite["id"], "--data-dir", str(ticketed.host))
    assert removed.code == 0
    taken_back = await electrons("join", ticket, *data)
    assert taken_back.code == 5 and "no such ticket" in taken_back.err

    short = await ticketed.invite(seconds=1)
    late = await electrons("join", short, *data)
    assert late.code == 5 and "expired" in late.err
    assert await ticketed.members() == {}


async def test_a_member_with_a_ticket_does_not_use_it(ticketed: TicketedMesh) -> None:
    founder = await ticketed.found()
    worker = await ticketed.join(await ticketed.invite(), "worker", "--engine", "demo")
    await worker.stop()
    spare = await ticketed.invite()
    again = await ticketed.join(spare, "worker", "--engine", "demo")
    assert again.node_id == worker.node_id
    assert "not used" in (ticketed.folder / "log-worker.txt").read_text()
    await until_model(founder, "demo")
    used = [invite["used"] for invite in (await ticketed.api("GET", "/api/invites"))["invites"]]
    assert sorted(used) == [0, 1]


async def test_short_grants_are_renewed_while_the_node_runs(ticketed: TicketedMesh) -> None:
    config = ticketed.folder / "life.toml"
    config.write_text("grant_life = 3\n")
    founder = await ticketed.found("--config", str(config))
    worker = await ticketed.join(await ticketed.invite(), "worker", "--engine", "demo")
    first = (await ticketed.members())[worker.node_id]["serial"]

    async def renewed() -> bool:
        return bool((await ticketed.members())[worker.node_id]["serial"] != first)

    await until(renewed, 20.0)
    assert (await ticketed.trail())[-1] == "renewed"
    await until_model(founder, "demo")
    kept = (ticketed.folder / "worker" / "grants").read_text().splitlines()
    assert len(kept) == 1, "the new grant takes the place of the old one"
