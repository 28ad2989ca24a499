"""One SQLite file of the state: made, opened, and checked to be what was written."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from coordinator.state.digest import BYTES, recount
from coordinator.state.levels import LATEST, schema
from mesh.errors import StorageDamaged, StorageError

PRAGMAS = (
    # A lost end of the WAL is applied again from the log; what is older is synced at checkpoints.
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA recursive_triggers = ON",  # REPLACE tells the delete triggers
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    "PRAGMA wal_autocheckpoint = 1000",
    "PRAGMA journal_size_limit = 16777216",
)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the log was applied."""

    level: int
    applied: int
    term: int
    digest: bytes


def create_database(path: Path) -> None:
    """An empty state, mode 0600. Raises StorageError."""
    connection = None
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("BEGIN")
        for statement in schema(1):
            connection.execute(statement)
        connection.execute("INSERT INTO progress VALUES (1, 1, 0, 0, ?)", (bytes(BYTES),))
        connection.execute("COMMIT")
    except (OSError, sqlite3.Error) as error:
        raise StorageError(f"{path} cannot be made ({error})") from None
    finally:
        if connection is not None:
            connection.close()


def open_database(path: Path) -> sqlite3.Connection:
    """A connection for the one writer. Raises StorageDamaged or StorageError."""
    connection = None
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None,
            check_same_thread=False,
        )  # fmt: skip
        for pragma in PRAGMAS:
            connection.execute(pragma).fetchall()
        check_database(connection, path)
    except (sqlite3.Error, StorageError) as error:
        if connection is not None:
            connection.close()
        raise as_storage_error(error, path) from None
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write. Raises StorageError."""
    try:
        return sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None,
            check_same_thread=False,
        )  # fmt: skip
    except sqlite3.Error as error:
        raise as_storage_error(error, path) from None


def check_database(connection: sqlite3.Connection, path: Path) -> None:
    """Reads everything. Raises StorageDamaged, or StorageError for a newer level."""
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict is None or verdict[0] != "ok":
        raise StorageDamaged(str(path), "SQLite finds it inconsistent")
    progress = read_progress(connection)
    if progress.level > LATEST:
        raise StorageError(
            f"{path} is of level {progress.level}, this version knows {LATEST}: update this node"
        )
    found = {sql for (sql,) in connection.execute("SELECT sql FROM main.sqlite_schema") if sql}
    if found != set(schema(progress.level)):
        raise StorageDamaged(str(path), "its tables are not those of its level")
    if recount(connection) != progress.digest:
        raise StorageDamaged(str(path), "its rows do not have the digest they were stored with")


def read_progress(connection: sqlite3.Connection) -> Progress:
    """Raises sqlite3.DatabaseError where there is none."""
    row = connection.execute("SELECT level, applied, term, digest FROM progress").fetchone()
    if row is None:
        raise sqlite3.DatabaseError("the database says nothing about its progress")
    return Progress(*row)


def as_storage_error(error: Exception, path: Path) -> StorageError:
    """What a failure of SQLite means: damage, or a disk that cannot be used."""
    if isinstance(error, StorageError):
        return error
    unusable = isinstance(error, sqlite3.OperationalError) and not _names_damage(error)
    if unusable:
        return StorageError(f"{path} cannot be used ({error})")
    return StorageDamaged(str(path), str(error))


def _names_damage(error: sqlite3.Error) -> bool:
    """A missing table or column is damage, too: SQLite calls it an operational error."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
