"""Rows about admission as plain values, for `mesh.wire.admission`. Reading raises WireError."""

from __future__ import annotations

from typing import Any

from mesh.admission import AuditRow, Invite, Member, RevokedNode
from mesh.errors import WireError
from mesh.wire import fields
from mesh.wire.admission_commands import DIGEST_BYTES, MAX_BY, MAX_NOTE, MAX_ROLES, MAX_SERIAL

MAX_NAMED = 16
"""Nodes named that used one ticket."""
MAX_SUBJECT = 64
MAX_DETAIL = 400


def pack_invite(row: Invite) -> list[Any]:
    """For the wire."""
    nodes = [bytes.fromhex(node) for node in row.nodes[:MAX_NAMED]]
    head = [bytes.fromhex(row.digest), list(row.roles), row.uses, row.used, row.expires]
    return [*head, row.by, row.at, row.note, nodes]


def read_invite(value: object) -> Invite:
    """From the wire."""
    digest, roles, uses, used, expires, by, at, note, nodes = _parts(value, 9)
    return Invite(
        digest=fields.raw(digest, most=DIGEST_BYTES, exactly=True).hex(),
        roles=_roles(roles),
        uses=fields.whole(uses),
        used=fields.whole(used),
        expires=fields.seconds(expires),
        by=fields.text(by, most=MAX_BY),
        at=fields.seconds(at),
        note=fields.text(note, most=MAX_NOTE),
        nodes=tuple(fields.node_id(node) for node in fields.listed(nodes, most=MAX_NAMED)),
    )


def pack_member(row: Member) -> list[Any]:
    """For the wire."""
    head = [bytes.fromhex(row.node), list(row.roles), row.serial, row.not_after, row.admitted_by]
    return [*head, row.invite, row.at, row.renewed_at]


def read_member(value: object) -> Member:
    """From the wire."""
    node, roles, serial, not_after, admitted_by, invite, at, renewed_at = _parts(value, 8)
    return Member(
        node=fields.node_id(node),
        roles=_roles(roles),
        serial=fields.text(serial, most=MAX_SERIAL),
        not_after=fields.seconds(not_after),
        admitted_by=fields.text(admitted_by, most=MAX_BY),
        invite=fields.text(invite, most=2 * DIGEST_BYTES),
        at=fields.seconds(at),
        renewed_at=fields.seconds(renewed_at),
    )


def pack_audit(row: AuditRow) -> list[Any]:
    """For the wire."""
    return [row.number, row.what, row.at, row.by, row.subject, row.detail[:MAX_DETAIL]]


def read_audit(value: object) -> AuditRow:
    """From the wire."""
    number, what, at, by, subject, detail = _parts(value, 6)
    return AuditRow(
        number=fields.whole(number),
        what=fields.text(what, most=32),
        at=fields.seconds(at),
        by=fields.text(by, most=MAX_BY),
        subject=fields.text(subject, most=MAX_SUBJECT),
        detail=fields.text(detail, most=MAX_DETAIL),
    )


def pack_revoked(row: RevokedNode) -> list[Any]:
    """For the wire."""
    return [bytes.fromhex(row.node), row.until, row.by, row.at, row.reason]


def read_revoked(value: object) -> RevokedNode:
    """From the wire."""
    node, until, by, at, reason = _parts(value, 5)
    return RevokedNode(
        node=fields.node_id(node),
        until=fields.seconds(until),
        by=fields.text(by, most=MAX_BY),
        at=fields.seconds(at),
        reason=fields.text(reason, most=MAX_NOTE),
    )


def _roles(value: object) -> tuple[str, ...]:
    return tuple(fields.text(role, most=16) for role in fields.listed(value, most=MAX_ROLES))


def _parts(value: object, count: int) -> list[Any]:
    parts = fields.listed(value, most=32)
    if len(parts) < count:
        raise WireError("a row has too few fields")
    return parts[:count]
