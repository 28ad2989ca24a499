"""What can be asked of the state."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from coordinator.state.database import as_storage_error, open_reader
from mesh.targets import ServiceTarget


class Rows:
    """Reads what was committed last. Never waits for the writer. Raises StorageError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = open_reader(path)

    def targets(self) -> tuple[ServiceTarget, ...]:
        """All declared targets, by name."""
        rows = self._ask("SELECT * FROM targets ORDER BY name")
        return tuple(ServiceTarget(*row) for row in rows)

    def setting(self, key: str) -> str | None:
        """The value, None when it is not set."""
        rows = self._ask("SELECT value FROM settings WHERE key = ?", key)
        return str(rows[0][0]) if rows else None

    def settings(self) -> dict[str, str]:
        """All of them."""
        return dict(self._ask("SELECT key, value FROM settings ORDER BY key"))

    def revoked(self) -> frozenset[str]:
        """Serials of grants that are believed no longer."""
        return frozenset(serial for (serial,) in self._ask("SELECT serial FROM revocations"))

    def digest(self) -> tuple[int, bytes]:
        """The last applied index, and the digest of the state there."""
        ((applied, digest),) = self._ask("SELECT applied, digest FROM progress")
        return int(applied), bytes(digest)

    def checkpoints(self) -> dict[int, bytes]:
        """Digests at the last few round indexes, for comparing with other members."""
        return dict(self._ask("SELECT place, digest FROM checkpoints ORDER BY place"))

    def close(self) -> None:
        """Let the file go."""
        self._connection.close()

    def ask(self, sql: str, *values: str | int | float) -> list[Any]:
        """Rows of a query of another reader of the state. Raises StorageError."""
        return self._ask(sql, *values)

    def _ask(self, sql: str, *values: str | int | float) -> list[Any]:
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise as_storage_error(error, self._path) from None
