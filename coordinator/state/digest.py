"""A digest of all rows that follows every change at the price of that change.

It is the sum, modulo 2^256, of a hash of each row: the order of rows and how they came to be do not
matter. A row that changed on disk behind our back makes it differ from a recount, and from the
other members'. It is no proof against somebody who chooses the rows.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Mapping
from typing import TypeVar

import msgpack

from coordinator.state.levels import UNDIGESTED

M = TypeVar("M")

BYTES = 32
_MODULUS = 1 << (8 * BYTES)

Value = str | int | float | bytes | None


class Digest:
    """The sum so far, and which rows changed since `take_changed`."""

    def __init__(self) -> None:
        self.total = 0
        self._changed: dict[str, set[str]] = {}

    def watch(self, connection: sqlite3.Connection) -> None:
        """Follow every change that the connection makes to the tables that exist now."""
        connection.create_function("row_added", -1, self._added)
        connection.create_function("row_removed", -1, self._removed)
        for table in digested_tables(connection):
            columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]
            new, old = (", ".join(f'{row}."{name}"' for name in columns) for row in ("NEW", "OLD"))
            added = f"SELECT row_added('{table}', {new});"
            removed = f"SELECT row_removed('{table}', {old});"
            for event, body in (
                ("INSERT", added),
                ("DELETE", removed),
                ("UPDATE", removed + added),
            ):
                connection.execute(
                    f'CREATE TEMP TRIGGER IF NOT EXISTS "{table}_{event}" '
                    f'AFTER {event} ON main."{table}" BEGIN {body} END'
                )

    def packed(self) -> bytes:
        """As 32 bytes."""
        return self.total.to_bytes(BYTES, "big")

    def take_changed(self) -> dict[str, frozenset[str]]:
        """First columns of the rows that changed, by table; then begin anew."""
        changed = {table: frozenset(keys) for table, keys in self._changed.items()}
        self._changed.clear()
        return changed

    def _added(self, table: str, *row: Value) -> None:
        self._note(table, row, 1)

    def _removed(self, table: str, *row: Value) -> None:
        self._note(table, row, -1)

    def _note(self, table: str, row: tuple[Value, ...], sign: int) -> None:
        self.total = (self.total + sign * row_hash(table, row)) % _MODULUS
        self._changed.setdefault(table, set()).add(str(row[0]))


def row_hash(table: str, row: tuple[Value, ...]) -> int:
    """The number that one row adds."""
    packed = msgpack.packb([table, *row])
    return int.from_bytes(hashlib.blake2b(packed, digest_size=BYTES).digest(), "big")


def recount(connection: sqlite3.Connection) -> bytes:
    """The digest of what the tables hold now. Reads everything."""
    total = 0
    for table in digested_tables(connection):
        for row in connection.execute(f'SELECT * FROM main."{table}"'):
            total += row_hash(table, row)
    return (total % _MODULUS).to_bytes(BYTES, "big")


def digested_tables(connection: sqlite3.Connection) -> list[str]:
    """Tables that are part of the state."""
    rows = connection.execute("SELECT name FROM main.sqlite_schema WHERE type = 'table'")
    return sorted(name for (name,) in rows if name not in UNDIGESTED)


def outliers(digests: Mapping[M, bytes], members: int) -> frozenset[M]:
    """Those whose digest of one place differs from what most of all `members` say.

    Without such a majority nobody is called wrong.
    """
    if not digests:
        return frozenset()
    right, count = Counter(digests.values()).most_common(1)[0]
    if 2 * count <= members:
        return frozenset()
    return frozenset(member for member, digest in digests.items() if digest != right)
