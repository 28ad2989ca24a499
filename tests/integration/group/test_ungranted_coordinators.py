"""Nodes that call themselves coordinators without a grant of this mesh, over real links."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from coordinator.group.coordination import Coordination
from coordinator.group.folder import GroupFolder
from mesh.capability import Role
from mesh.clock import SystemClock
from mesh.errors import LinkError
from mesh.identity.boot import Boot
from mesh.identity.grants import encode_grant, issue_grant
from mesh.identity.keys import NodeKey, RootKey
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.links.pool import LinkPool
from mesh.links.reception import Introduction
from mesh.ports import StreamKind
from mesh.wire.group import Membership, Propose, ReadIndex, encode_request
from tests.integration.mesh.daemon import until

ROLES: tuple[Role, ...] = ("coordinator",)
HOUR = 3600.0


def grant(root: RootKey, node: NodeId, *, mesh: RootKey, until_then: float) -> bytes:
    issued = issue_grant(
        root, mesh_id=mesh.mesh_id, node_id=node, roles=ROLES, not_after=until_then
    )
    return encode_grant(issued)


@asynccontextmanager
async def linked(key: NodeKey, root: RootKey, grants: tuple[bytes, ...]) -> AsyncIterator[LinkPool]:
    links = LinkPool(
        key=key,
        mesh_id=root.mesh_id,
        boot=Boot(1, "ab" * 8),
        introduce=lambda: Introduction(ROLES, grants, links.addresses),
        listen=("127.0.0.1", 0),
    )
    await links.start()
    try:
        yield links
    finally:
        await links.close()


@asynccontextmanager
async def founder(root: RootKey, data: Path) -> AsyncIterator[tuple[Coordination, LinkPool]]:
    """A coordinator that leads a group of one."""
    key, tasks = NodeKey.generate(), Tasks("founder")
    own = grant(root, key.node_id, mesh=root, until_then=time.time() + HOUR)
    async with linked(key, root, (own,)) as links:
        coordination = Coordination(
            own=key.node_id,
            founds=True,
            folder=GroupFolder(data),
            links=links,
            addresses=lambda _: (),
            clock=SystemClock(),
            rng=Random(1),
            tasks=tasks,
        )
        await coordination.start()

        async def leads() -> bool:
            return coordination.leading() is not None

        await until(leads)
        try:
            yield coordination, links
        finally:
            await tasks.close()
            await coordination.close()


def is_member(coordination: Coordination, node: NodeId) -> bool:
    status = coordination.group.status()
    return status is not None and node in status.members.voters + status.members.standbys


@pytest.mark.parametrize("kind", ["none", "expired", "forged", "other mesh", "other node"])
async def test_who_has_no_good_grant_is_neither_taken_in_nor_heard(
    tmp_path: Path, kind: str
) -> None:
    root, other = RootKey.generate(), RootKey.generate()
    key, good = NodeKey.generate(), NodeKey.generate()
    soon = time.time() + HOUR
    shown = {
        "none": (),
        "expired": (grant(root, key.node_id, mesh=root, until_then=time.time() - HOUR),),
        "forged": (grant(other, key.node_id, mesh=root, until_then=soon),),
        "other mesh": (grant(other, key.node_id, mesh=other, until_then=soon),),
        "other node": (grant(root, good.node_id, mesh=root, until_then=soon),),
    }[kind]
    async with (
        founder(root, tmp_path) as (coordination, leader),
        linked(key, root, shown) as bad,
        linked(good, root, (grant(root, good.node_id, mesh=root, until_then=soon),)) as honest,
    ):
        group = GroupFolder(tmp_path).group()
        assert group is not None
        link = await bad.connect(None, leader.addresses)
        for request in (Propose(b"x"), ReadIndex(), Membership(group)):
            with pytest.raises(LinkError, match="only a coordinator"):
                await link.call(StreamKind.CONSENSUS, encode_request(request), timeout=5)
        # One with a good grant that came later is on the list: the other was seen and left out.
        await honest.connect(None, leader.addresses)

        async def taken_in() -> bool:
            return is_member(coordination, good.node_id)

        await until(taken_in)
        assert not is_member(coordination, key.node_id)
