"""Who was let into a mesh and how: invitations, members, revocations, and the trail of changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from mesh.ids import NodeId

AdmissionRefusal = Literal[
    "unknown",
    "expired",
    "used_up",
    "revoked",
    "not_member",
    "full",
    "exists",
    "not_allowed",
    "no_quorum",
    "undecided",
    "too_many",
    "not_yet",
    "no_coordinator",
    "wrong",
]
"""Stable codes of what admission refuses; `REFUSALS` has them in words."""

REFUSALS: dict[AdmissionRefusal, str] = {
    "unknown": "the mesh knows no such ticket: it was mistyped, taken back, or is for another mesh",
    "expired": "the ticket has expired: ask for a new one",
    "used_up": "the ticket was used already: ask for a new one",
    "revoked": "this node was revoked from the mesh",
    "not_member": "this node is no member whose grant could be renewed: join with a ticket",
    "full": "the mesh has as many of these as it can hold",
    "exists": "there is such a ticket already",
    "not_allowed": "this node may not do that",
    "no_quorum": "too few coordinators are in touch to decide anything; nothing was changed",
    "undecided": "the coordinators did not answer in time; asking again is harmless",
    "too_many": "too many attempts from there; wait a little",
    "not_yet": "the coordinators are not ready for this yet; try again shortly",
    "no_coordinator": "no coordinator that could decide this can be reached",
    "wrong": "the request is wrong",
}

MAX_TICKET_SECONDS = 30 * 86_400.0
"""A ticket ends after so long at the latest."""
SHORT_ID = 16
"""First hex digits of a secret's digest by which people name an invitation."""


class AdmissionRefused(Exception):
    """Nothing was done. `code` is stable; the text is for people."""

    def __init__(self, code: AdmissionRefusal, text: str = "") -> None:
        super().__init__(text or REFUSALS[code])
        self.code: AdmissionRefusal = code


@dataclass(frozen=True, slots=True)
class Invite:
    """A right to join that somebody with the ticket's secret may use."""

    digest: str
    """SHA-256 of the secret, 64 hex digits. The secret itself is kept nowhere."""
    roles: tuple[str, ...]
    uses: int
    used: int
    expires: float
    """Unix seconds."""
    by: str
    """Id of the node that asked for it."""
    at: float
    note: str = ""
    nodes: tuple[NodeId, ...] = ()
    """Who used it, the latest few."""

    @property
    def short(self) -> str:
        """What people call it."""
        return self.digest[:SHORT_ID]


@dataclass(frozen=True, slots=True)
class Member:
    """A node that joined by a ticket."""

    node: NodeId
    roles: tuple[str, ...]
    serial: str
    """Of its latest grant; "" before the first."""
    not_after: float
    """When that grant ends, Unix seconds."""
    admitted_by: str
    """The coordinator that took its ticket."""
    invite: str
    """The ticket's digest."""
    at: float
    renewed_at: float
    """When the latest grant was given; 0.0 before the first."""


@dataclass(frozen=True, slots=True)
class RevokedNode:
    """A node that nobody may believe any more."""

    node: NodeId
    until: float
    """Unix seconds by which every grant it can hold has ended."""
    by: str
    at: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AuditRow:
    """Who did what to whom, and when."""

    number: int
    """Counts from 1 without gaps, in the order of the log."""
    what: str
    at: float
    """Unix seconds by the clock of the coordinator that proposed it."""
    by: str
    subject: str
    detail: str = ""


class Admissions(Protocol):
    """What an administrator may do about who is in the mesh. All raise AdmissionRefused."""

    async def invite(
        self, digest: str, roles: Sequence[str], uses: int, seconds: float, note: str
    ) -> Invite:
        """Let so many nodes in, within so long, that know the secret with this digest."""
        ...

    async def drop(self, short: str) -> None:
        """Take a ticket back. Who used it stays a member."""
        ...

    async def revoke(self, node: NodeId, reason: str) -> RevokedNode:
        """Believe a node no more, at once and everywhere."""
        ...

    async def invites(self) -> Sequence[Invite]:
        """Those that can still be used or were used lately, the latest first."""
        ...

    async def members(self) -> Sequence[Member]:
        """Every node that joined by a ticket and was not revoked."""
        ...

    async def revoked(self) -> Sequence[RevokedNode]:
        """Every node that was revoked and is remembered."""
        ...

    async def audit(self, after: int, most: int) -> Sequence[AuditRow]:
        """Changes with numbers above `after`, the newest first."""
        ...
