"""The tables, level by level. A level is raised by a command, so at one place of the log for all.

The rule for versions N and N+1 in one group: a release may know one level more than the one before.
Until every member runs it, the group stays at the old level: databases, snapshots and digests of
both versions are the same, and commands of the new level are refused by both. Then the leader
proposes RaiseLevel; its SQL is run as part of applying it. A member that does not know the level
stops and says that it must be updated.

What stands in a level that was released is never changed: neither its SQL, nor the bounds beside
the commands (`coordinator.state.changes`, `mesh.wire.commands`), which decide what is refused.
"""

from __future__ import annotations

BOOKKEEPING = (
    """CREATE TABLE progress (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        level INTEGER NOT NULL,
        applied INTEGER NOT NULL,
        term INTEGER NOT NULL,
        digest BLOB NOT NULL
    ) STRICT""",
    """CREATE TABLE checkpoints (
        place INTEGER PRIMARY KEY,
        digest BLOB NOT NULL
    ) STRICT""",
)
"""About the state, not of it: left out of the digest."""
UNDIGESTED = frozenset({"progress", "checkpoints"})

LEVELS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE targets (
            name TEXT PRIMARY KEY,
            model TEXT NOT NULL,
            engine TEXT NOT NULL,
            priority INTEGER NOT NULL,
            min_replicas INTEGER NOT NULL,
            memory INTEGER NOT NULL,
            gpu_memory INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE settings (
            key TEXT PRIMARY KEY,
            value TEXT NOT NULL
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE revocations (
            serial TEXT PRIMARY KEY,
            until REAL NOT NULL
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE recent (
            id TEXT PRIMARY KEY,
            place INTEGER NOT NULL,
            outcome BLOB NOT NULL
        ) STRICT, WITHOUT ROWID""",
        "CREATE INDEX recent_by_place ON recent (place)",
    ),
    (
        """CREATE TABLE invites (
            digest TEXT PRIMARY KEY,
            roles TEXT NOT NULL,
            uses INTEGER NOT NULL,
            used INTEGER NOT NULL,
            expires REAL NOT NULL,
            invited_by TEXT NOT NULL,
            invited_at REAL NOT NULL,
            note TEXT NOT NULL
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE redemptions (
            digest TEXT NOT NULL,
            node TEXT NOT NULL,
            redeemed_at REAL NOT NULL,
            PRIMARY KEY (digest, node)
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE members (
            node TEXT PRIMARY KEY,
            roles TEXT NOT NULL,
            serial TEXT NOT NULL,
            not_after REAL NOT NULL,
            admitted_by TEXT NOT NULL,
            invite TEXT NOT NULL,
            admitted_at REAL NOT NULL,
            renewed_at REAL NOT NULL
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE revoked_nodes (
            node TEXT PRIMARY KEY,
            until REAL NOT NULL,
            revoked_by TEXT NOT NULL,
            revoked_at REAL NOT NULL,
            reason TEXT NOT NULL
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE audit (
            number INTEGER PRIMARY KEY,
            routine INTEGER NOT NULL,
            what TEXT NOT NULL,
            done_at REAL NOT NULL,
            done_by TEXT NOT NULL,
            subject TEXT NOT NULL,
            detail TEXT NOT NULL
        ) STRICT""",
        "CREATE INDEX audit_by_kind ON audit (routine, number)",
    ),
)
"""SQL that leads from each level to the next. A new group begins at level 1."""
LATEST = len(LEVELS)


def schema(level: int) -> list[str]:
    """All SQL of a database at that level."""
    return [*BOOKKEEPING, *(sql for statements in LEVELS[:level] for sql in statements)]
