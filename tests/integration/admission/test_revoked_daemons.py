"""A revoked worker is out everywhere within seconds; another says to the end what it was saying."""

from __future__ import annotations

import asyncio

from tests.integration.admission.ticketed_mesh import TicketedMesh, electrons
from tests.integration.mesh.daemon import Daemon, until, until_model
from tests.integration.mesh.resuming_client import RESUMED, hear

PACED = ("--engine", "demo", "--demo-rate", "40")
LENGTH = 60
OUT_SECONDS = 3.0
"""What a revocation may take to reach everybody."""
STREAMS = 4


async def sees(daemon: Daemon, node: str) -> bool:
    peers = (await daemon.get("/api/peers"))["peers"]
    return any(peer["node_id"] == node and peer["state"] != "gone" for peer in peers)


async def test_a_worker_is_revoked_while_it_speaks(ticketed: TicketedMesh) -> None:
    founder = await ticketed.found()
    ticket = await ticketed.invite(uses=2)
    names = ("one", "two")
    joining = (ticketed.join(ticket, name, *PACED) for name in names)
    workers = dict(zip(names, await asyncio.gather(*joining), strict=True))
    await until_model(founder, "demo", nodes=2)
    for worker in workers.values():
        await hear(worker, max_tokens=2)
    whole = await hear(founder, max_tokens=LENGTH, temperature=0)
    by_id = {worker.node_id: name for name, worker in workers.items()}
    revoked: list[str] = []

    async def revoke(node: str) -> None:
        if not revoked:
            revoked.append(node)
            await ticketed.api("POST", "/api/revocations", {"node_id": node, "reason": "test"})

    heard = await asyncio.gather(
        *(
            hear(founder, after=9, do=revoke, max_tokens=LENGTH, temperature=0)
            for _ in range(STREAMS)
        )
    )
    (out,) = revoked
    other = next(
        worker for node, worker in zip(by_id, workers.values(), strict=True) if node != out
    )
    assert [each.done for each in heard] == [True] * STREAMS
    assert {each.texts[0] for each in heard} == {whole.texts[0]}
    assert any(RESUMED in each.comments for each in heard)

    async def gone() -> bool:
        return not await sees(founder, out) and not await sees(other, out)

    await until(gone, OUT_SECONDS)
    assert out not in await ticketed.members()

    name = by_id[out]
    await workers[name].stop()
    back = await ticketed.daemons.start("--data-dir", str(ticketed.folder / name), *PACED)

    async def told() -> bool:
        return any("removed" in note for note in (await back.get("/api/node"))["notes"])

    await until(told)
    assert not await sees(founder, out) and not await sees(other, out)
    await back.stop()
    fresh = await ticketed.invite(roles=["relay"])
    again = await electrons("join", fresh, "--data-dir", str(ticketed.folder / name))
    assert again.code == 5 and "removed" in again.err
    assert out not in await ticketed.members()
    found = (await ticketed.api("GET", "/api/revocations"))["revocations"]
    assert [(each["node_id"], each["reason"]) for each in found] == [(out, "test")]
