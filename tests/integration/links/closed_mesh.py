"""Nodes of a founded mesh over real links, with nothing else that a daemon has."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random

from mesh.capability import Role
from mesh.clock import SystemClock
from mesh.identity.boot import Boot
from mesh.identity.grants import Grant, encode_grant, issue_grant
from mesh.identity.keys import NodeKey, RootKey
from mesh.identity.revocations import Revocations, Revoked, sign_revocations
from mesh.identity.trust import Trust
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.links.link import MeshLink
from mesh.links.pool import LinkPool
from mesh.links.reception import Introduction
from node.revoking import Revoking

HOUR = 3600.0


@dataclass
class MeshNode:
    """A pool, whom it trusts, and what passes revocations on."""

    key: NodeKey
    trust: Trust
    links: LinkPool
    revoking: Revoking
    grants: list[bytes]
    tasks: Tasks

    @property
    def node_id(self) -> NodeId:
        return self.key.node_id

    async def link(self, other: MeshNode) -> MeshLink:
        return await self.links.connect(other.node_id, other.links.addresses)

    def linked(self, other: MeshNode) -> bool:
        return self.links.get(other.node_id) is not None

    async def close(self) -> None:
        await self.tasks.close()
        await self.links.close()


class ClosedMesh:
    """Starts nodes and signs what the root and a coordinator sign."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self.root, self.coordinator = RootKey.generate(), NodeKey.generate()
        self.folder = folder
        self._stack = stack
        self._boots = itertools.count(1)
        self.chain = self.grant(self.coordinator, ["coordinator"])

    def grant(
        self, key: NodeKey, roles: Sequence[Role] = ("worker",), *, lasts: float = HOUR
    ) -> Grant:
        return issue_grant(
            self.root,
            mesh_id=self.root.mesh_id,
            node_id=key.node_id,
            roles=roles,
            not_after=time.time() + lasts,
        )

    def revocations(
        self, *nodes: NodeId, number: int = 1, serials: Sequence[str] = ()
    ) -> Revocations:
        until = time.time() + HOUR
        return sign_revocations(
            self.coordinator,
            mesh_id=self.root.mesh_id,
            number=number,
            entries=[Revoked(node, until, tuple(serials)) for node in nodes],
            issued_at=time.time(),
            issuer=self.chain,
        )

    async def start(
        self, key: NodeKey | None = None, *, grant: Grant | None = None, closed: bool = True
    ) -> MeshNode:
        """A node that serves; without `grant` it is no member."""
        key, clock, tasks = key or NodeKey.generate(), SystemClock(), Tasks("node")
        trust = Trust(self.root.mesh_id, wall=clock.wall, closed=closed)
        grants = [] if grant is None else [encode_grant(grant)]
        links = LinkPool(
            key=key,
            mesh_id=self.root.mesh_id,
            boot=Boot(next(self._boots), "ab" * 8),
            introduce=lambda: Introduction(("worker",), tuple(grants), links.addresses),
            listen=("127.0.0.1", 0),
            trust=trust,
        )
        data = self.folder / key.node_id
        revoking = Revoking(
            own=key.node_id,
            trust=trust,
            links=links,
            data_dir=data,
            clock=clock,
            tasks=tasks,
            rng=Random(1),
        )
        node = MeshNode(key, trust, links, revoking, grants, tasks)
        await links.start()
        self._stack.push_async_callback(node.close)
        revoking.start()
        return node

    async def member(self, key: NodeKey | None = None) -> MeshNode:
        key = key or NodeKey.generate()
        return await self.start(key, grant=self.grant(key))
