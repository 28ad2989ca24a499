"""One ticket, many nodes, dying leaders: exactly as many get in as the ticket says."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from coordinator.admission.desk import AdmissionDesk, Issuer
from coordinator.state import changes
from mesh.admission import AdmissionRefused
from mesh.capability import Role
from mesh.errors import RecordRejected
from mesh.identity.grants import Grant, check_grant, decode_grant, issue_grant
from mesh.identity.keys import NodeKey, RootKey
from mesh.identity.ticket import secret_digest
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from tests.simulation.group.coordinating_mesh import (
    CoordinatingMesh,
    Coordinator,
    coordinating_mesh,
    until,
)
from tests.simulation.virtual_time import run_virtual

pytestmark = pytest.mark.usefixtures("one_thread")

SECRET = bytes(range(16))
RACERS = 50
HOUR = 3600.0


class Admitting:
    """A desk at every coordinator, each with a grant of the same root."""

    def __init__(self, mesh: CoordinatingMesh) -> None:
        self.mesh = mesh
        self.root = RootKey.generate()
        self.granted: dict[NodeId, list[Grant]] = {}

    def desk(self, node: Coordinator, *, admin: bool = True) -> AdmissionDesk:
        key = NodeKey.generate()
        roles: tuple[Role, ...] = ("coordinator", "admin") if admin else ("coordinator",)
        grant = issue_grant(
            self.root,
            mesh_id=self.root.mesh_id,
            node_id=key.node_id,
            roles=roles,
            not_after=node.clock.wall() + 1e6,
        )
        coordination = node.coordination
        return AdmissionDesk(
            group=coordination.group,
            state=lambda: coordination.state,
            issuer=Issuer(key, self.root.mesh_id, lambda: grant),
            clock=node.clock,
        )

    async def ready(self) -> None:
        """Every state has the level that knows admission."""
        await until(
            lambda: all(
                node.coordination.state is not None and node.coordination.state.level >= 2
                for node in self.mesh.nodes
            ),
            10.0,
        )

    async def join(self, node: NodeId, rng: Random) -> str:
        """What a node does: ask one coordinator after the other until it is told yes or no."""
        for _ in range(60):
            running = [each for each in self.mesh.nodes if each.running]
            try:
                data = await self.desk(rng.choice(running)).redeem(node, SECRET)
            except AdmissionRefused as refusal:
                if refusal.code not in ("no_quorum", "undecided", "not_yet"):
                    return refusal.code
                await asyncio.sleep(rng.uniform(0.05, 0.3))
                continue
            self.granted.setdefault(node, []).append(decode_grant(data))
            return "granted"
        return "gave up"


async def race(mesh: CoordinatingMesh, uses: int, *, kill: bool) -> Admitting:
    """Fifty nodes want in; where `kill`, the leader dies meanwhile and comes back."""
    nodes = await mesh.found(3)
    admitting = Admitting(mesh)
    await admitting.ready()
    desk = admitting.desk(nodes[0])
    digest = secret_digest(SECRET)
    await desk.invite(digest, ["worker"], uses, HOUR, "", by=desk.own, admin=True)
    tasks = Tasks("racers")
    racers = [NodeId(f"{number:040x}") for number in range(RACERS)]
    seeds = [Random(mesh.rng.random()) for _ in racers]
    attempts = [
        tasks.spawn(admitting.join(racer, rng), "racer")
        for racer, rng in zip(racers, seeds, strict=True)
    ]
    if kill:
        await asyncio.sleep(mesh.rng.uniform(0.0, 0.05))
        leader = await mesh.leader(nodes)
        await leader.crash()
        await asyncio.sleep(1.0)
        await leader.start(nodes)
    ends = await asyncio.gather(*attempts)
    await tasks.close()
    assert sorted(set(ends)) == ["granted", "used_up"], ends
    members = await admitting.desk(nodes[0]).members()
    assert {member.node for member in members} == set(admitting.granted)
    return admitting


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kill", [False, True], ids=["calm", "leader dies"])
def test_exactly_one_of_fifty_gets_in(tmp_path: Path, seed: int, kill: bool) -> None:
    async def story() -> None:
        async with coordinating_mesh(tmp_path, seed=seed) as mesh:
            admitting = await race(mesh, 1, kill=kill)
            assert len(admitting.granted) == 1

    run_virtual(story())


def test_the_check_goes_red_when_uses_are_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deliberate bug: each coordinator counts for itself, on its copy of the ticket."""
    redeem = changes.redeem  # type: ignore[attr-defined]

    def forgetful(connection, change, at):  # type: ignore[no-untyped-def]
        outcome = redeem(connection, change, at)
        connection.execute("UPDATE invites SET used = 0")
        return outcome

    monkeypatch.setattr(changes, "redeem", forgetful)

    async def story() -> None:
        async with coordinating_mesh(tmp_path, seed=1) as mesh:
            with pytest.raises(AssertionError):
                await race(mesh, 1, kill=False)

    run_virtual(story())


def test_who_asks_again_after_the_coordinator_died_is_granted_elsewhere(tmp_path: Path) -> None:
    async def story() -> None:
        async with coordinating_mesh(tmp_path, seed=7) as mesh:
            nodes = await mesh.found(3)
            admitting = Admitting(mesh)
            await admitting.ready()
            desk = admitting.desk(nodes[0])
            digest = secret_digest(SECRET)
            await desk.invite(digest, ["worker"], 1, HOUR, "", by=desk.own, admin=True)
            node = NodeId("a" * 40)
            await desk.redeem(node, SECRET)
            await nodes[0].crash()
            await mesh.leader(nodes[1:])
            grant = decode_grant(await admitting.desk(nodes[1]).redeem(node, SECRET))
            mesh_id = admitting.root.mesh_id
            now = nodes[1].clock.wall()
            assert check_grant(grant, mesh_id=mesh_id, node_id=node, now_wall=now) == ("worker",)
            with pytest.raises(RecordRejected):
                other = NodeId("b" * 40)
                check_grant(grant, mesh_id=mesh_id, node_id=other, now_wall=now)

    run_virtual(story())


def test_nobody_is_admitted_without_a_majority(tmp_path: Path) -> None:
    async def story() -> None:
        async with coordinating_mesh(tmp_path, seed=8) as mesh:
            nodes = await mesh.found(3)
            admitting = Admitting(mesh)
            await admitting.ready()
            desk = admitting.desk(nodes[0])
            digest = secret_digest(SECRET)
            await desk.invite(digest, ["worker"], 1, HOUR, "", by=desk.own, admin=True)
            for node in nodes[1:]:
                await node.crash()
            with pytest.raises(AdmissionRefused) as refusal:
                await desk.redeem(NodeId("a" * 40), SECRET)
            assert refusal.value.code == "no_quorum"

    run_virtual(story())


def test_a_revoked_node_is_renewed_nowhere(tmp_path: Path) -> None:
    async def story() -> None:
        async with coordinating_mesh(tmp_path, seed=9) as mesh:
            nodes = await mesh.found(3)
            admitting = Admitting(mesh)
            await admitting.ready()
            first, second = admitting.desk(nodes[0]), admitting.desk(nodes[1])
            digest = secret_digest(SECRET)
            await first.invite(digest, ["worker"], 5, HOUR, "", by=first.own, admin=True)
            node = NodeId("a" * 40)
            await first.redeem(node, SECRET)
            await second.renew(node)
            await first.revoke(node, "stolen", by=first.own)
            for attempt in (second.renew(node), second.redeem(node, SECRET)):
                with pytest.raises(AdmissionRefused) as refusal:
                    await attempt
                assert refusal.value.code == "revoked"
            trail = [row.what for row in await second.audit(0, 100)]
            assert trail == ["revoked", "renewed", "granted", "joined", "invited"]

    run_virtual(story())
