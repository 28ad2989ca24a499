"""What can be asked of the state about admission. Below level 2 there is nothing to tell."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Any

from coordinator.state.rows import Rows
from mesh.admission import AuditRow, Invite, Member, RevokedNode
from mesh.ids import NodeId

MAX_NAMED = 16
"""Nodes named that used one ticket."""
MAX_LISTED = 10_000
"""Rows of one answer."""

_INVITE = "SELECT digest, roles, uses, used, expires, invited_by, invited_at, note FROM invites "


class AdmissionRows:
    """Reads one moment's state. Raises StorageError."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def ready(self) -> bool:
        """Whether the group has raised its state to the level that knows admission."""
        sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'members'"
        return bool(self._rows.ask(sql))

    def invites(self) -> tuple[Invite, ...]:
        """The latest first."""
        found = self._rows.ask(_INVITE + "ORDER BY invited_at DESC, digest LIMIT ?", MAX_LISTED)
        return tuple(self._invite(row) for row in found)

    def invite(self, digest: str) -> Invite | None:
        """Compared once more in constant time, so that no index tells how much was right."""
        for row in self._rows.ask(_INVITE + "WHERE digest = ?", digest):
            if hmac.compare_digest(row[0], digest):
                return self._invite(row)
        return None

    def has_redeemed(self, digest: str, node: NodeId) -> bool:
        """Whether the node used that ticket."""
        sql = "SELECT 1 FROM redemptions WHERE digest = ? AND node = ?"
        return bool(self._rows.ask(sql, digest, node))

    def named(self, short: str) -> tuple[Invite, ...]:
        """Those whose digest starts with this."""
        found = self._rows.ask(_INVITE + "WHERE substr(digest, 1, ?) = ?", len(short), short)
        return tuple(self._invite(row) for row in found)

    def member(self, node: NodeId) -> Member | None:
        """One member."""
        rows = self._rows.ask("SELECT * FROM members WHERE node = ?", node)
        return _member(rows[0]) if rows else None

    def members(self) -> tuple[Member, ...]:
        """By node id."""
        rows = self._rows.ask("SELECT * FROM members ORDER BY node LIMIT ?", MAX_LISTED)
        return tuple(map(_member, rows))

    def is_revoked(self, node: NodeId) -> bool:
        """Whether the node was thrown out."""
        return bool(self._rows.ask("SELECT 1 FROM revoked_nodes WHERE node = ?", node))

    def revoked(self) -> tuple[RevokedNode, ...]:
        """All of them, by node id."""
        if not self.ready():
            return ()
        rows = self._rows.ask("SELECT * FROM revoked_nodes ORDER BY node")
        return tuple(RevokedNode(*row) for row in rows)

    def audit(self, after: int, most: int) -> Sequence[AuditRow]:
        """Rows above a number, the newest first."""
        rows = self._rows.ask(
            "SELECT number, what, done_at, done_by, subject, detail FROM audit "
            "WHERE number > ? ORDER BY number DESC LIMIT ?",
            after,
            min(most, MAX_LISTED),
        )
        return [AuditRow(*row) for row in rows]

    def _invite(self, row: Any) -> Invite:
        digest, roles, uses, used, expires, by, at, note = row
        nodes = self._rows.ask(
            "SELECT node FROM redemptions WHERE digest = ? ORDER BY redeemed_at DESC LIMIT ?",
            digest,
            MAX_NAMED,
        )
        named = tuple(NodeId(node) for (node,) in nodes)
        return Invite(digest, tuple(roles.split(",")), uses, used, expires, by, at, note, named)


def _member(row: Any) -> Member:
    node, roles, serial, not_after, admitted_by, invite, at, renewed_at = row
    split = tuple(roles.split(","))
    return Member(NodeId(node), split, serial, not_after, admitted_by, invite, at, renewed_at)
