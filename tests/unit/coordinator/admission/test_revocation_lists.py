"""Coordinators that may sign tell everybody what the group revoked; others say nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

from coordinator.admission.desk import Issuer
from coordinator.admission.publishing import RevocationPublisher, sign_list
from coordinator.consensus.entry import Entry
from coordinator.state.state import SqliteState
from mesh.admission import RevokedNode
from mesh.capability import Role
from mesh.clock import SystemClock
from mesh.identity.grants import Grant, issue_grant
from mesh.identity.keys import NodeKey, RootKey
from mesh.identity.revocations import Revocations, check_revocations
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.wire.admission_commands import RevokeNode
from mesh.wire.commands import Change, Command, RaiseLevel, encode_command

NODE = NodeId("d" * 40)
ROOT, KEY = RootKey.generate(), NodeKey.generate()


def issuer(*roles: Role) -> Issuer:
    grant: Grant | None = None
    if roles:
        until = SystemClock.wall() + 1e6
        grant = issue_grant(
            ROOT, mesh_id=ROOT.mesh_id, node_id=KEY.node_id, roles=roles, not_after=until
        )
    return Issuer(KEY, ROOT.mesh_id, lambda: grant)


def entry(index: int, change: Change, at: float = 1.0) -> Entry:
    return Entry(index, 1, "command", encode_command(Command(f"{index:032x}", at, change)))


def test_a_list_is_believed_by_who_knows_the_mesh_only() -> None:
    now = SystemClock.wall()
    revoked = [RevokedNode(NODE, now + 1e6, "a" * 40, now)]
    given = sign_list(issuer("coordinator"), revoked, 7, now)
    assert given is not None and given.number == 7
    check_revocations(given, mesh_id=ROOT.mesh_id, now_wall=now)
    assert [each.node_id for each in given.entries] == [NODE]


def test_who_may_not_sign_says_nothing() -> None:
    assert sign_list(issuer(), [], 1, 1.0) is None
    assert sign_list(issuer("worker"), [], 1, 1.0) is None


async def test_what_is_applied_is_published_at_once_and_again_after_a_start(tmp_path: Path) -> None:
    told: list[Revocations] = []

    async def publish(given: Revocations) -> None:
        told.append(given)

    state = SqliteState(tmp_path / "state")
    tasks = Tasks("publisher")
    clock = SystemClock()

    def follow(state: SqliteState) -> None:
        signer = issuer("coordinator")
        RevocationPublisher(issuer=signer, publish=publish, clock=clock, tasks=tasks).follow(state)

    follow(state)
    revoke = RevokeNode(NODE, clock.wall() + 1e6, "a" * 40)
    await state.apply([entry(1, RaiseLevel(2)), entry(2, revoke)])
    await asyncio.sleep(0)
    assert [(given.number, len(given.entries)) for given in told] == [(2, 1)]
    await state.apply([entry(3, RevokeNode(NodeId("e" * 40), clock.wall() + 1e6, "a" * 40))])
    await asyncio.sleep(0)
    assert [(given.number, len(given.entries)) for given in told] == [(2, 1), (3, 2)]
    await state.close()
    again = SqliteState(tmp_path / "state")
    follow(again)
    await asyncio.sleep(0)
    assert (told[-1].number, len(told[-1].entries)) == (3, 2)
    await again.close()
    await tasks.close()
