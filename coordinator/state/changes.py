"""What each command does to the tables. Deterministic: the command and the tables, nothing else.

Each function checks everything before it writes; it returns why it refuses, or "".
"""

from __future__ import annotations

import sqlite3
from dataclasses import astuple

from coordinator.state.admitting import add_invite, drop_invite, record_grant, redeem, revoke_node
from mesh.targets import MAX_TARGETS
from mesh.wire.admission_commands import (
    AddInvite,
    DropInvite,
    RecordGrant,
    RedeemInvite,
    RevokeNode,
)
from mesh.wire.commands import (
    Change,
    Command,
    DropSetting,
    DropTarget,
    RevokeGrant,
    SetSetting,
    SetTarget,
)

MAX_SETTINGS = 1024
MAX_REVOCATIONS = 16_384
"""Grants end by themselves within a year or so; only what is revoked before that is here."""
FORGET_AFTER = 86_400.0
"""Seconds after a grant's own end until its revocation may go: no honest clock is so far off."""
LATER = "the command is of a later level"

SINCE: dict[type[Change], int] = dict.fromkeys(
    (AddInvite, DropInvite, RedeemInvite, RecordGrant, RevokeNode), 2
)
"""The level from which on a kind is understood, where that is not the first."""


def apply_change(connection: sqlite3.Connection, command: Command) -> str:
    """Do it, or say why not. Raises sqlite3.Error."""
    match command.change:
        case SetTarget():
            return _set_target(connection, command.change)
        case DropTarget(name):
            return _drop(connection, "targets", "name", name)
        case SetSetting():
            return _set_setting(connection, command.change)
        case DropSetting(key):
            return _drop(connection, "settings", "key", key)
        case RevokeGrant():
            return _revoke(connection, command.change, command.at)
        case AddInvite():
            return add_invite(connection, command.change, command.at)
        case DropInvite():
            return drop_invite(connection, command.change, command.at)
        case RedeemInvite():
            return redeem(connection, command.change, command.at)
        case RecordGrant():
            return record_grant(connection, command.change, command.at)
        case RevokeNode():
            return revoke_node(connection, command.change, command.at)
    return LATER


def _set_target(connection: sqlite3.Connection, change: SetTarget) -> str:
    if _is_full(connection, "targets", "name", change.target.name, MAX_TARGETS):
        return f"there are {MAX_TARGETS} targets already"
    connection.execute(
        "INSERT OR REPLACE INTO targets VALUES (?, ?, ?, ?, ?, ?, ?)", astuple(change.target)
    )
    return ""


def _set_setting(connection: sqlite3.Connection, change: SetSetting) -> str:
    if _is_full(connection, "settings", "key", change.key, MAX_SETTINGS):
        return f"there are {MAX_SETTINGS} settings already"
    connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (change.key, change.value))
    return ""


def _revoke(connection: sqlite3.Connection, change: RevokeGrant, at: float) -> str:
    connection.execute("DELETE FROM revocations WHERE until < ?", (at - FORGET_AFTER,))
    if _is_full(connection, "revocations", "serial", change.serial, MAX_REVOCATIONS):
        return f"{MAX_REVOCATIONS} grants are revoked already"
    connection.execute(
        "INSERT OR REPLACE INTO revocations VALUES (?, ?)", (change.serial, change.until)
    )
    return ""


def _is_full(connection: sqlite3.Connection, table: str, column: str, key: str, most: int) -> bool:
    """True where one more row would be too many."""
    (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    if count < most:
        return False
    known = connection.execute(f"SELECT 1 FROM {table} WHERE {column} = ?", (key,)).fetchone()
    return known is None


def _drop(connection: sqlite3.Connection, table: str, column: str, key: str) -> str:
    dropped = connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (key,)).rowcount
    return "" if dropped else f"nothing of that name is in {table}"
