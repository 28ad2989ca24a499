"""Who may administer the mesh from here: the coordinator in this process, or one over a link."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from coordinator.admission.desk import AdmissionDesk
from mesh.admission import (
    AdmissionRefused,
    AuditRow,
    Invite,
    Member,
    RevokedNode,
)
from mesh.capability import NodeRecord
from mesh.errors import LinkError, WireError
from mesh.ids import NodeId
from mesh.ports import Link, Links, StreamKind
from mesh.wire.admission import (
    AUDIT,
    INVITES,
    MEMBERS,
    REVOKED,
    Answer,
    AskDrop,
    AskInvite,
    AskList,
    AskRevoke,
    Refused,
    Request,
    Rows,
    decode_answer,
    encode_request,
)

log = logging.getLogger(__name__)

R = TypeVar("R")

ASK_SECONDS = 8.0
"""Patience for one coordinator, which needs a decision of its group."""
DIAL_SECONDS = 3.0
MAX_ASKED = 3
"""Coordinators that one question is put to."""
NOBODY = (
    "this node is no coordinator, and none can be reached: run this on a coordinator, or join one"
)


class LocalAdmissions:
    """Implements mesh.admission.Admissions on a coordinator, for its own administrator."""

    def __init__(self, desk: AdmissionDesk) -> None:
        self._desk = desk

    async def invite(
        self, digest: str, roles: Sequence[str], uses: int, seconds: float, note: str
    ) -> Invite:
        """See Admissions."""
        desk = self._desk
        return await desk.invite(
            digest, roles, uses, seconds, note, by=desk.own, admin=desk.is_admin
        )

    async def drop(self, short: str) -> None:
        """See Admissions."""
        await self._desk.drop(short, by=self._desk.own)

    async def revoke(self, node: NodeId, reason: str) -> RevokedNode:
        """See Admissions."""
        return await self._desk.revoke(node, reason, by=self._desk.own)

    async def invites(self) -> Sequence[Invite]:
        """See Admissions."""
        return await self._desk.invites()

    async def members(self) -> Sequence[Member]:
        """See Admissions."""
        return await self._desk.members()

    async def revoked(self) -> Sequence[RevokedNode]:
        """See Admissions."""
        return await self._desk.revoked()

    async def audit(self, after: int, most: int) -> Sequence[AuditRow]:
        """See Admissions."""
        return await self._desk.audit(after, most)


class RemoteAdmissions:
    """Implements Admissions by asking coordinators, which check that this node is an admin."""

    def __init__(self, links: Links, coordinators: Callable[[], Sequence[NodeRecord]]) -> None:
        """`coordinators`: records of nodes that say they are one."""
        self._links = links
        self._coordinators = coordinators

    async def invite(
        self, digest: str, roles: Sequence[str], uses: int, seconds: float, note: str
    ) -> Invite:
        """See Admissions."""
        rows = await self._ask(AskInvite(digest, tuple(roles), uses, seconds, note))
        return _only(rows, Invite)[0]

    async def drop(self, short: str) -> None:
        """See Admissions."""
        await self._ask(AskDrop(short))

    async def revoke(self, node: NodeId, reason: str) -> RevokedNode:
        """See Admissions."""
        return _only(await self._ask(AskRevoke(node, reason)), RevokedNode)[0]

    async def invites(self) -> Sequence[Invite]:
        """See Admissions."""
        return _only(await self._ask(AskList(INVITES)), Invite)

    async def members(self) -> Sequence[Member]:
        """See Admissions."""
        return _only(await self._ask(AskList(MEMBERS)), Member)

    async def revoked(self) -> Sequence[RevokedNode]:
        """See Admissions."""
        return _only(await self._ask(AskList(REVOKED)), RevokedNode)

    async def audit(self, after: int, most: int) -> Sequence[AuditRow]:
        """See Admissions."""
        return _only(await self._ask(AskList(AUDIT, after, most)), AuditRow)

    async def _ask(self, request: Request) -> Sequence[object]:
        """The rows of the first coordinator that answers. Raises AdmissionRefused."""
        last = AdmissionRefused("no_coordinator", NOBODY)
        for link in await self._linked():
            try:
                answer = await _put(link, request)
            except (LinkError, WireError, TimeoutError) as error:
                log.debug("coordinator %s did not answer: %s", link.peer[:8], error)
                last = AdmissionRefused("undecided")
                continue
            if isinstance(answer, Rows):
                return answer.rows
            if isinstance(answer, Refused):
                last = AdmissionRefused(answer.code, answer.words)
                if answer.code not in ("no_quorum", "undecided", "not_yet"):
                    raise last
        raise last

    async def _linked(self) -> list[Link]:
        linked = [link for link in self._links.all() if "coordinator" in link.roles]
        if linked:
            return linked[:MAX_ASKED]
        found = []
        for record in self._coordinators()[:MAX_ASKED]:
            try:
                link = await self._links.connect(
                    record.node_id, record.addresses, timeout=DIAL_SECONDS
                )
            except (LinkError, TimeoutError) as error:
                log.debug("coordinator %s was not reached: %s", record.node_id[:8], error)
                continue
            if "coordinator" in link.roles:
                found.append(link)
        return found


async def _put(link: Link, request: Request) -> Answer:
    data = await link.call(StreamKind.ADMISSION, encode_request(request), timeout=ASK_SECONDS)
    return decode_answer(data)


def _only(rows: Sequence[object], kind: type[R]) -> list[R]:
    """Raises AdmissionRefused when a coordinator answered with something else."""
    found = [row for row in rows if isinstance(row, kind)]
    if len(found) != len(rows):
        raise AdmissionRefused("wrong", "the coordinator answered something else")
    return found
