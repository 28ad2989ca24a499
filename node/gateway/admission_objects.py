"""Tickets, members and the trail as JSON, and requests for them out of JSON. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from mesh.admission import MAX_TICKET_SECONDS, AuditRow, Invite, Member, RevokedNode
from mesh.errors import InvalidRequest
from mesh.ids import NodeId
from mesh.wire.admission_commands import MAX_NOTE, MAX_ROLES, MAX_USES
from node.gateway.fields import take_float, take_int, take_text, wrong_type

MAX_PAGE = 500
"""Rows of the trail in one answer."""
DEFAULT_SECONDS = 86_400.0
_NODE = re.compile(r"[0-9a-f]{40}")
_SHORT = re.compile(r"[0-9a-f]{4,64}")


def parse_invitation(body: dict[str, Any]) -> tuple[tuple[str, ...], int, float, str]:
    """Roles, uses, seconds and note. Raises InvalidRequest, naming the field."""
    roles = body.pop("roles", None)
    if roles is None:
        roles = ["worker"]
    if not isinstance(roles, list):
        raise wrong_type("roles", "an array", roles)
    if not 0 < len(roles) <= MAX_ROLES or not all(isinstance(role, str) for role in roles):
        raise InvalidRequest("roles is a list of role names", param="roles")
    uses = take_int(body, "uses", 1, MAX_USES)
    seconds = take_float(body, "seconds", 1.0, MAX_TICKET_SECONDS)
    note = take_text(body, "note", MAX_NOTE) or ""
    if not note.isprintable():
        raise InvalidRequest("note has characters that cannot be printed", param="note")
    _refuse_unknown(body)
    return tuple(roles), uses or 1, seconds or DEFAULT_SECONDS, note


def parse_revocation(body: dict[str, Any]) -> tuple[NodeId, str]:
    """Node and reason. Raises InvalidRequest."""
    node = parse_node(take_text(body, "node_id", 40) or "")
    reason = take_text(body, "reason", MAX_NOTE) or ""
    if not reason.isprintable():
        raise InvalidRequest("reason has characters that cannot be printed", param="reason")
    _refuse_unknown(body)
    return node, reason


def parse_node(text: str) -> NodeId:
    """A node's id. Raises InvalidRequest."""
    if not _NODE.fullmatch(text):
        raise InvalidRequest("a node's id is 40 hex digits", param="node_id")
    return NodeId(text)


def parse_short(text: str) -> str:
    """The start of a ticket's digest. Raises InvalidRequest."""
    if not _SHORT.fullmatch(text):
        raise InvalidRequest("a ticket is named by 4 to 64 hex digits of its id", param="id")
    return text


def parse_page(query: str) -> tuple[int, int]:
    """`after` and `limit` of a query. Raises InvalidRequest."""
    given = parse_qs(query, keep_blank_values=True, max_num_fields=8)
    for name in given:
        if name not in ("after", "limit"):
            raise InvalidRequest(f"unknown parameter {name[:60]!r}", param=name[:60])
    return _number(given, "after", 0, 0, 2**63 - 1), _number(given, "limit", 100, 1, MAX_PAGE)


def invite_object(invite: Invite) -> dict[str, Any]:
    """One ticket, without its secret, which nobody has."""
    return {
        "id": invite.short,
        "roles": list(invite.roles),
        "uses": invite.uses,
        "used": invite.used,
        "expires": _time(invite.expires),
        "invited_by": invite.by,
        "invited_at": _time(invite.at),
        "note": invite.note,
        "nodes": list(invite.nodes),
    }


def member_object(member: Member) -> dict[str, Any]:
    """One node that joined by a ticket."""
    return {
        "node_id": member.node,
        "roles": list(member.roles),
        "serial": member.serial,
        "grant_ends": _time(member.not_after),
        "admitted_by": member.admitted_by,
        "admitted_at": _time(member.at),
        "invite": member.invite[:16],
        "renewed_at": _time(member.renewed_at) if member.renewed_at else None,
    }


def revoked_object(revoked: RevokedNode) -> dict[str, Any]:
    """One node that was revoked."""
    return {
        "node_id": revoked.node,
        "until": _time(revoked.until),
        "revoked_by": revoked.by,
        "revoked_at": _time(revoked.at),
        "reason": revoked.reason,
    }


def audit_object(row: AuditRow) -> dict[str, Any]:
    """One row of the trail."""
    return {
        "number": row.number,
        "what": row.what,
        "at": _time(row.at),
        "by": row.by,
        "subject": row.subject,
        "detail": row.detail,
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _number(given: Mapping[str, list[str]], name: str, default: int, low: int, high: int) -> int:
    texts = given.get(name)
    if texts is None:
        return default
    text = texts[-1]
    if not re.fullmatch("[0-9]{1,19}", text) or not low <= int(text) <= high:
        raise InvalidRequest(f"{name} is a whole number from {low} to {high}", param=name)
    return int(text)


def _refuse_unknown(body: Mapping[str, Any]) -> None:
    for unknown in body:
        raise InvalidRequest(f"{unknown[:60]!r} is no field of this", param=unknown[:60])
