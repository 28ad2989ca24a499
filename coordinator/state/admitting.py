"""What commands about admission do to the tables of level 2. Deterministic, like `changes`.

Each function returns the code of why it refuses (`mesh.admission.AdmissionRefusal`), or "".
"""

from __future__ import annotations

import sqlite3
from typing import Any

from mesh.wire.admission_commands import (
    AddInvite,
    DropInvite,
    RecordGrant,
    RedeemInvite,
    RevokeNode,
)

MAX_INVITES = 4_096
MAX_REDEMPTIONS = 65_536
MAX_MEMBERS = 65_536
MAX_REVOKED_NODES = 1_024
"""Rows of each table; past them a command is refused until old rows ended."""
MAX_AUDIT = 16_384
MAX_ROUTINE = 4_096
"""Rows of the trail: of what people did, and of renewals; the oldest go first."""
MAX_LIFE = 30 * 86_400.0
"""Seconds for which a ticket can be good: a revoked node may know one that others use."""
FORGET_AFTER = 86_400.0
"""Seconds after its end until an invitation or a revocation is forgotten."""
LAPSE = 90 * 86_400.0
"""Seconds after a member's last grant ended in which it may still have it renewed."""


def add_invite(connection: sqlite3.Connection, change: AddInvite, at: float) -> str:
    """A secret is good for so many nodes."""
    _prune(connection, at)
    if change.expires > at + MAX_LIFE:
        return "wrong"
    if _one(connection, "SELECT 1 FROM invites WHERE digest = ?", change.digest):
        return "exists"
    if _count(connection, "invites") >= MAX_INVITES:
        return "full"
    roles = ",".join(change.roles)
    row = (change.digest, roles, change.uses, 0, change.expires, change.by, at, change.note)
    connection.execute("INSERT INTO invites VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    note = f": {change.note}" if change.note else ""
    detail = f"{roles} for {change.uses}{note}"
    _note(connection, "invited", at, change.by, change.digest, detail)
    return ""


def drop_invite(connection: sqlite3.Connection, change: DropInvite, at: float) -> str:
    """A secret is good for nothing any more."""
    _prune(connection, at)
    found = connection.execute("DELETE FROM invites WHERE digest = ?", (change.digest,)).rowcount
    if not found:
        return "unknown"
    connection.execute("DELETE FROM redemptions WHERE digest = ?", (change.digest,))
    _note(connection, "taken back", at, change.by, change.digest)
    return ""


def redeem(connection: sqlite3.Connection, change: RedeemInvite, at: float) -> str:
    """The node becomes a member, unless the ticket says no."""
    _prune(connection, at)
    if _is_revoked(connection, change.node):
        return "revoked"
    found = _one(
        connection, "SELECT roles, uses, used, expires FROM invites WHERE digest = ?", change.digest
    )
    if found is None:
        return "unknown"
    roles, uses, used, expires = found
    if at > expires:
        return "expired"
    key = (change.digest, change.node)
    if _one(connection, "SELECT 1 FROM redemptions WHERE digest = ? AND node = ?", *key):
        return ""  # the answer got lost: the same node asks again
    if used >= uses:
        return "used_up"
    if _is_full(connection, change.node):
        return "full"
    connection.execute("UPDATE invites SET used = used + 1 WHERE digest = ?", (change.digest,))
    connection.execute("INSERT INTO redemptions VALUES (?, ?, ?)", (*key, at))
    _admit(connection, change, roles.split(","), at)
    _note(connection, "joined", at, change.by, change.node, f"{roles} by ticket {change.digest}")
    return ""


def record_grant(connection: sqlite3.Connection, change: RecordGrant, at: float) -> str:
    """A member gets a grant, for no more than it may be."""
    _prune(connection, at)
    if _is_revoked(connection, change.node):
        return "revoked"
    found = _one(connection, "SELECT roles, serial FROM members WHERE node = ?", change.node)
    if found is None:
        return "not_member"
    if not set(change.roles) <= set(found[0].split(",")):
        return "not_allowed"
    connection.execute(
        "UPDATE members SET serial = ?, not_after = max(not_after, ?), renewed_at = ? "
        "WHERE node = ?",
        (change.serial, change.not_after, at, change.node),
    )
    what = "renewed" if found[1] else "granted"
    detail = f"{','.join(change.roles)} serial {change.serial}"
    _note(connection, what, at, change.by, change.node, detail, routine=bool(found[1]))
    return ""


def revoke_node(connection: sqlite3.Connection, change: RevokeNode, at: float) -> str:
    """The node is out, and so is everything that it invited."""
    _prune(connection, at)
    more = not _is_revoked(connection, change.node)
    if more and _count(connection, "revoked_nodes") >= MAX_REVOKED_NODES:
        return "full"
    connection.execute(
        "INSERT OR REPLACE INTO revoked_nodes VALUES (?, ?, ?, ?, ?)",
        (change.node, change.until, change.by, at, change.reason),
    )
    connection.execute("DELETE FROM members WHERE node = ?", (change.node,))
    connection.execute("DELETE FROM invites WHERE invited_by = ?", (change.node,))
    connection.execute("DELETE FROM redemptions WHERE digest NOT IN (SELECT digest FROM invites)")
    _note(connection, "revoked", at, change.by, change.node, change.reason)
    return ""


def _admit(
    connection: sqlite3.Connection, change: RedeemInvite, roles: list[str], at: float
) -> None:
    """A member that uses another ticket has the roles of both."""
    known = _one(connection, "SELECT roles FROM members WHERE node = ?", change.node)
    if known is not None:
        both = ",".join(sorted({*roles, *known[0].split(",")}))
        connection.execute("UPDATE members SET roles = ? WHERE node = ?", (both, change.node))
        return
    row = (change.node, ",".join(roles), "", at, change.by, change.digest, at, 0.0)
    connection.execute("INSERT INTO members VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)


def _prune(connection: sqlite3.Connection, at: float) -> None:
    """Forget what ended long before the command's time."""
    ended = at - FORGET_AFTER
    gone = connection.execute("DELETE FROM invites WHERE expires < ?", (ended,)).rowcount
    if gone:
        connection.execute(
            "DELETE FROM redemptions WHERE digest NOT IN (SELECT digest FROM invites)"
        )
    connection.execute("DELETE FROM revoked_nodes WHERE until < ?", (ended,))
    connection.execute("DELETE FROM members WHERE not_after < ?", (at - LAPSE,))


def _note(
    connection: sqlite3.Connection,
    what: str,
    at: float,
    by: str,
    subject: str,
    detail: str = "",
    *,
    routine: bool = False,
) -> None:
    """Add to the trail, and drop its oldest row of that sort when there are too many."""
    (last,) = connection.execute("SELECT coalesce(max(number), 0) FROM audit").fetchone()
    row = (last + 1, int(routine), what, at, by, subject, detail)
    connection.execute("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    most = MAX_ROUTINE if routine else MAX_AUDIT
    oldest = connection.execute(
        "SELECT number FROM audit WHERE routine = ? ORDER BY number DESC LIMIT 1 OFFSET ?",
        (int(routine), most),
    ).fetchone()
    if oldest is not None:
        connection.execute(
            "DELETE FROM audit WHERE routine = ? AND number <= ?", (int(routine), oldest[0])
        )


def _is_full(connection: sqlite3.Connection, node: str) -> bool:
    if _count(connection, "redemptions") >= MAX_REDEMPTIONS:
        return True
    known = _one(connection, "SELECT 1 FROM members WHERE node = ?", node)
    return known is None and _count(connection, "members") >= MAX_MEMBERS


def _is_revoked(connection: sqlite3.Connection, node: str) -> bool:
    return _one(connection, "SELECT 1 FROM revoked_nodes WHERE node = ?", node) is not None


def _count(connection: sqlite3.Connection, table: str) -> int:
    (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(count)


def _one(connection: sqlite3.Connection, sql: str, *values: str) -> Any:
    return connection.execute(sql, values).fetchone()
