"""Commands about who is let in, kinds 7 to 11 of `mesh.wire.commands`, from level 2 on.

Roles are short words here, not today's list of them: versions that know different roles must read
the same command.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from mesh.errors import WireError
from mesh.ids import NodeId
from mesh.wire import fields

DIGEST_BYTES = 32
MAX_ROLES = 8
MAX_USES = 10_000
"""Nodes that one ticket may let in."""
MAX_NOTE = 120
"""Characters of a note or a reason."""
MAX_BY = 64
MAX_SERIAL = 32
_ROLE = re.compile(r"[a-z]{1,16}")


@dataclass(frozen=True, slots=True)
class AddInvite:
    """Let `uses` nodes in that know the secret with this SHA-256 (64 hex digits)."""

    digest: str
    roles: tuple[str, ...]
    uses: int
    expires: float
    """Unix seconds."""
    by: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class DropInvite:
    """Let nobody in by this secret any more."""

    digest: str
    by: str


@dataclass(frozen=True, slots=True)
class RedeemInvite:
    """Make the node a member by its secret. Done again by the same node it changes nothing."""

    digest: str
    node: NodeId
    by: str


@dataclass(frozen=True, slots=True)
class RecordGrant:
    """A member gets this grant. Refused unless the member has these roles."""

    node: NodeId
    serial: str
    roles: tuple[str, ...]
    not_after: float
    by: str


@dataclass(frozen=True, slots=True)
class RevokeNode:
    """Believe no grant of the node, and drop what it invited. Can be forgotten after `until`."""

    node: NodeId
    until: float
    by: str
    reason: str = ""


AdmissionChange = AddInvite | DropInvite | RedeemInvite | RecordGrant | RevokeNode


def admission_parts(change: AdmissionChange) -> tuple[int, list[Any]]:
    """The kind's number and its fields."""
    match change:
        case AddInvite(digest, roles, uses, expires, by, note):
            return 7, [bytes.fromhex(digest), list(roles), uses, float(expires), by, note]
        case DropInvite(digest, by):
            return 8, [bytes.fromhex(digest), by]
        case RedeemInvite(digest, node, by):
            return 9, [bytes.fromhex(digest), bytes.fromhex(node), by]
        case RecordGrant(node, serial, roles, not_after, by):
            return 10, [bytes.fromhex(node), serial, list(roles), float(not_after), by]
        case RevokeNode(node, until, by, reason):
            return 11, [bytes.fromhex(node), float(until), by, reason]


def read_admission(kind: int, parts: list[Any]) -> AdmissionChange | None:
    """The command of a kind; None where it is not one of these. Raises WireError."""
    match kind:
        case 7:
            digest, roles, uses, expires, by, note = _exactly(6, parts)
            return AddInvite(
                _digest(digest),
                _roles(roles),
                _uses(uses),
                fields.seconds(expires),
                _name(by, MAX_BY),
                fields.text(note, most=MAX_NOTE),
            )
        case 8:
            digest, by = _exactly(2, parts)
            return DropInvite(_digest(digest), _name(by, MAX_BY))
        case 9:
            digest, node, by = _exactly(3, parts)
            return RedeemInvite(_digest(digest), fields.node_id(node), _name(by, MAX_BY))
        case 10:
            node, serial, roles, not_after, by = _exactly(5, parts)
            return RecordGrant(
                fields.node_id(node),
                _name(serial, MAX_SERIAL),
                _roles(roles),
                fields.seconds(not_after),
                _name(by, MAX_BY),
            )
        case 11:
            node, until, by, reason = _exactly(4, parts)
            words = fields.text(reason, most=MAX_NOTE)
            return RevokeNode(fields.node_id(node), fields.seconds(until), _name(by, MAX_BY), words)
    return None


def _digest(value: object) -> str:
    return fields.raw(value, most=DIGEST_BYTES, exactly=True).hex()


def _roles(value: object) -> tuple[str, ...]:
    """In order and once each, so that one set of roles has one form."""
    roles = tuple(fields.text(role, most=16) for role in fields.listed(value, most=MAX_ROLES))
    if not roles or list(roles) != sorted(set(roles)) or not all(map(_ROLE.fullmatch, roles)):
        raise WireError("roles are not a sorted list of words")
    return roles


def _uses(value: object) -> int:
    uses = fields.whole(value, most=MAX_USES)
    if not uses:
        raise WireError("an invitation for nobody")
    return uses


def _exactly(count: int, parts: list[Any]) -> list[Any]:
    if len(parts) != count:
        raise WireError(f"the command has {len(parts)} fields, not {count}")
    return parts


def _name(value: object, most: int) -> str:
    name = fields.text(value, most=most)
    if not name:
        raise WireError("a name is empty")
    return name
