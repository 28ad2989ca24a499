"""The in-memory twin of the port `Admissions`, and an office that writes its tickets."""

from __future__ import annotations

from collections.abc import Sequence

from coordinator.admission.rules import check_invitation, single
from mesh.admission import (
    AdmissionRefused,
    Admissions,
    AuditRow,
    Invite,
    Member,
    RevokedNode,
)
from mesh.ids import NodeId
from node.ticket_office import Invited

NOW = 1.7e9
ADMIN = "a" * 40


class ListedAdmissions:
    """Implements `mesh.admission.Admissions`; raises `failure` instead when that is set."""

    def __init__(self) -> None:
        self.failure: AdmissionRefused | None = None
        self._invites: dict[str, Invite] = {}
        self._members: dict[NodeId, Member] = {}
        self._revoked: dict[NodeId, RevokedNode] = {}
        self._trail: list[AuditRow] = []

    def join(self, node: NodeId) -> None:
        """Make a node a member."""
        self._members[node] = Member(node, ("worker",), "5e", NOW, ADMIN, "ab" * 32, NOW, 0.0)
        self._note("joined", node)

    async def invite(
        self, digest: str, roles: Sequence[str], uses: int, seconds: float, note: str
    ) -> Invite:
        self._fail()
        checked = check_invitation(roles, uses, seconds, note, admin=True)
        invite = Invite(digest, checked, uses, 0, NOW + seconds, ADMIN, NOW, note)
        self._invites[digest] = invite
        self._note("invited", digest)
        return invite

    async def drop(self, short: str) -> None:
        self._fail()
        found = [invite for digest, invite in self._invites.items() if digest.startswith(short)]
        del self._invites[single(found, short).digest]
        self._note("taken back", short)

    async def revoke(self, node: NodeId, reason: str) -> RevokedNode:
        self._fail()
        self._members.pop(node, None)
        self._revoked[node] = RevokedNode(node, NOW + 1e6, ADMIN, NOW, reason)
        self._note("revoked", node)
        return self._revoked[node]

    async def invites(self) -> Sequence[Invite]:
        self._fail()
        return list(self._invites.values())

    async def members(self) -> Sequence[Member]:
        self._fail()
        return list(self._members.values())

    async def revoked(self) -> Sequence[RevokedNode]:
        self._fail()
        return list(self._revoked.values())

    async def audit(self, after: int, most: int) -> Sequence[AuditRow]:
        self._fail()
        return [row for row in reversed(self._trail) if row.number > after][:most]

    def _note(self, what: str, subject: str) -> None:
        self._trail.append(AuditRow(len(self._trail) + 1, what, NOW, ADMIN, subject))

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


class PlainOffice:
    """Tickets that lead nowhere."""

    def __init__(self, admissions: ListedAdmissions) -> None:
        self.listed = admissions
        self._numbers = iter(range(10**9))

    @property
    def admissions(self) -> Admissions:
        return self.listed

    async def invite(self, roles: Sequence[str], uses: int, seconds: float, note: str) -> Invited:
        digest = f"{next(self._numbers):064x}"[::-1]
        invite = await self.listed.invite(digest, roles, uses, seconds, note)
        return Invited(f"electrons-ticket-{digest}", invite)
