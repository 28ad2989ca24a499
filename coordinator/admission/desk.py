"""Admission on a coordinator: what the group has decided becomes a signed grant.

Nothing is handed out before it stands in the replicated log, so a ticket is used exactly as often
as it may be, whoever leads and whoever dies. A newcomer that missed the answer asks again, here or
elsewhere, and is told the same.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from coordinator.admission import rules
from coordinator.group.group import Group
from coordinator.state.admission_rows import AdmissionRows
from coordinator.state.state import SqliteState
from mesh.admission import (
    REFUSALS,
    AdmissionRefusal,
    AdmissionRefused,
    AuditRow,
    Invite,
    Member,
    RevokedNode,
)
from mesh.capability import Role
from mesh.clock import Clock
from mesh.errors import NoQuorum, WireError
from mesh.identity.grants import Grant, encode_grant, issue_grant
from mesh.identity.keys import NodeKey
from mesh.identity.ticket import secret_digest
from mesh.ids import MeshId, NodeId
from mesh.wire.admission_commands import (
    AddInvite,
    AdmissionChange,
    DropInvite,
    RecordGrant,
    RedeemInvite,
    RevokeNode,
)
from mesh.wire.commands import ID_BYTES, Command, decode_outcome, encode_command

DECIDE_SECONDS = 5.0
"""Patience for one decision of the group."""


class CannotSign(Exception):
    """This coordinator may not sign the grant; one with such a grant of its own may."""

    def __init__(self, roles: Sequence[str]) -> None:
        super().__init__("another coordinator must sign this")
        self.roles = tuple(roles)


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who signs here. `grant`: this node's own, None while it has none that the root signed."""

    key: NodeKey
    mesh_id: MeshId
    grant: Callable[[], Grant | None]
    grant_seconds: float = rules.GRANT_SECONDS

    @property
    def roles(self) -> tuple[Role, ...]:
        """Of its grant, if it may sign at all."""
        grant = self.grant()
        return grant.roles if grant is not None and rules.is_issuer(grant, self.mesh_id) else ()


class AdmissionDesk:
    """Every call raises AdmissionRefused where nothing is done."""

    def __init__(
        self,
        *,
        group: Group,
        state: Callable[[], SqliteState | None],
        issuer: Issuer,
        clock: Clock,
    ) -> None:
        self._group = group
        self._state = state
        self._issuer = issuer
        self._clock = clock

    @property
    def own(self) -> NodeId:
        """This coordinator."""
        return self._issuer.key.node_id

    @property
    def is_admin(self) -> bool:
        """Whether this coordinator may make others."""
        return "admin" in self._issuer.roles

    # ── for newcomers and members ───────────────────────────────────────────────────────────────

    async def redeem(self, node: NodeId, secret: bytes) -> bytes:
        """An encoded grant for a ticket's secret. Raises CannotSign, too."""
        digest = secret_digest(secret)
        rows = await self._rows()
        invite = rows.invite(digest)
        redeemed = invite is not None and rows.has_redeemed(digest, node)
        early = rules.refuse_early(invite, redeemed=redeemed, now_wall=self._clock.wall())
        if rows.is_revoked(node):
            early = "revoked"
        if early is not None or invite is None:
            raise AdmissionRefused(early or "unknown")
        self._check_signs(invite.roles)
        await self._decide(RedeemInvite(digest, node, self.own))
        return await self._grant(node, invite.roles)

    async def renew(self, node: NodeId) -> bytes:
        """The next grant of a member. Raises CannotSign, too."""
        rows = await self._rows()
        if rows.is_revoked(node):
            raise AdmissionRefused("revoked")
        member = rows.member(node)
        if member is None:
            raise AdmissionRefused("not_member")
        return await self._grant(node, member.roles)

    async def _grant(self, node: NodeId, wanted: Sequence[str]) -> bytes:
        member = (await self._rows()).member(node)
        admitted = wanted if member is None else member.roles
        roles = self._check_signs(admitted)
        own = self._issuer.grant()
        assert own is not None
        end = rules.grant_end(self._clock.wall(), self._issuer.grant_seconds, own.not_after)
        grant = issue_grant(
            self._issuer.key,
            mesh_id=self._issuer.mesh_id,
            node_id=node,
            roles=roles,
            not_after=end,
            issuer=own,
        )
        record = RecordGrant(node, grant.serial, tuple(sorted(roles)), end, self.own)
        await self._decide(record)
        return encode_grant(grant)

    def _check_signs(self, wanted: Sequence[str]) -> tuple[Role, ...]:
        roles = rules.roles_to_grant(wanted, self._issuer.roles)
        if not roles:
            raise CannotSign(wanted)
        return roles

    # ── for administrators; `by` is the node that asks ──────────────────────────────────────────

    async def invite(
        self,
        digest: str,
        roles: Sequence[str],
        uses: int,
        seconds: float,
        note: str,
        *,
        by: NodeId,
        admin: bool,
    ) -> Invite:
        """See mesh.admission.Admissions. `admin`: the asking node may invite coordinators."""
        checked = rules.check_invitation(roles, uses, seconds, note, admin=admin)
        now = self._clock.wall()
        expires = now + seconds
        await self._decide(AddInvite(digest, checked, uses, expires, by, note))
        return Invite(digest, checked, uses, 0, expires, by, now, note)

    async def drop(self, short: str, *, by: NodeId) -> None:
        """See Admissions."""
        invite = rules.single((await self._rows()).named(short), short)
        await self._decide(DropInvite(invite.digest, by))

    async def revoke(self, node: NodeId, reason: str, *, by: NodeId) -> RevokedNode:
        """See Admissions."""
        status = self._group.status()
        rules.may_revoke(self.own, node, () if status is None else status.members.voters)
        member = (await self._rows()).member(node)
        now = self._clock.wall()
        until = rules.revoked_until(member, now)
        await self._decide(RevokeNode(node, until, by, reason))
        return RevokedNode(node, until, by, now, reason)

    async def invites(self) -> Sequence[Invite]:
        """See Admissions."""
        return (await self._rows()).invites()

    async def members(self) -> Sequence[Member]:
        """See Admissions."""
        return (await self._rows()).members()

    async def audit(self, after: int, most: int) -> Sequence[AuditRow]:
        """See Admissions."""
        return (await self._rows()).audit(after, most)

    async def revoked(self) -> Sequence[RevokedNode]:
        """Every node that was thrown out and is remembered."""
        return (await self._rows()).revoked()

    # ── the group ───────────────────────────────────────────────────────────────────────────────

    async def _rows(self) -> AdmissionRows:
        """What a majority has confirmed."""
        try:
            await self._group.read_barrier(timeout=DECIDE_SECONDS)
        except NoQuorum:
            raise AdmissionRefused("no_quorum") from None
        except TimeoutError:
            raise AdmissionRefused("undecided") from None
        state = self._state()
        rows = None if state is None else AdmissionRows(state.rows)
        if rows is None or not rows.ready():
            raise AdmissionRefused("not_yet")
        return rows

    async def _decide(self, change: AdmissionChange) -> None:
        command_id = secrets.token_hex(ID_BYTES)
        try:
            command = encode_command(Command(command_id, self._clock.wall(), change))
        except WireError as error:
            raise AdmissionRefused("wrong", str(error)) from None
        try:
            outcome = decode_outcome(await self._group.propose(command, timeout=DECIDE_SECONDS))
        except NoQuorum:
            raise AdmissionRefused("no_quorum") from None
        except TimeoutError:
            raise AdmissionRefused("undecided") from None
        if outcome.refusal:
            raise AdmissionRefused(_code(outcome.refusal))


def _code(refusal: str) -> AdmissionRefusal:
    for code in REFUSALS:
        if code == refusal:
            return code
    return "not_yet"  # a group that has not raised its level says so in other words
