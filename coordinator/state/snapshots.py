"""Snapshots: whole databases as files, named by place, term and SHA-256."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from coordinator.state.database import as_storage_error, open_reader, read_progress
from coordinator.storage.folder import sync_folder
from mesh.errors import StorageDamaged, StorageError

KEPT = 2
"""Snapshots kept: the one before the last may still be on its way to another member."""
MAX_SNAPSHOT = 1024**3
"""Bytes a snapshot from another member may have."""
_NAME = re.compile(r"snapshot-([0-9]{19})-([0-9]{19})-([0-9a-f]{64})\.db")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A file that holds the state up to and with `index`, an entry of `term`."""

    path: Path
    index: int
    term: int
    sha256: str
    size: int


def take_snapshot(database: Path, folder: Path) -> Snapshot:
    """Write one of the database as it is now; writing to it may go on. Raises StorageError."""
    temporary = folder / "snapshot.new"
    try:
        temporary.unlink(missing_ok=True)
        os.close(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        _vacuum(database, temporary)
        snapshot = _describe(temporary, folder)
        temporary.rename(snapshot.path)
        sync_folder(folder)
        for old in list_snapshots(folder)[KEPT:]:
            old.path.unlink()
    except OSError as error:
        raise StorageError(f"no snapshot can be written to {folder} ({error})") from None
    except sqlite3.Error as error:
        raise as_storage_error(error, database) from None
    return snapshot


def list_snapshots(folder: Path) -> list[Snapshot]:
    """What lies in the folder, newest first. Believes the names. Raises OSError."""
    found = [
        Snapshot(path, int(match[1]), int(match[2]), match[3], path.stat().st_size)
        for path in folder.iterdir()
        if (match := _NAME.fullmatch(path.name))
    ]
    return sorted(found, key=lambda snapshot: (snapshot.index, snapshot.term), reverse=True)


def copy_checked(source: Path, sha256: str, target: Path) -> None:
    """Copy a snapshot to a new file, mode 0600, durable. Raises StorageDamaged or StorageError."""
    try:
        if source.stat().st_size > MAX_SNAPSHOT:
            raise StorageError(f"{source} is larger than a snapshot may be")
        target.unlink(missing_ok=True)
        os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        with source.open("rb") as old, target.open("r+b") as new:
            shutil.copyfileobj(old, new, 1 << 20)
            new.flush()
            os.fsync(new.fileno())
        # The copy is what counts: the source may change while it is read.
        if _sha256(target) != sha256:
            target.unlink()
            raise StorageDamaged(str(source), "its SHA-256 is another")
    except OSError as error:
        raise StorageError(f"{source} cannot be copied to {target} ({error})") from None


def _vacuum(database: Path, target: Path) -> None:
    connection = open_reader(database)
    try:
        connection.execute("VACUUM INTO ?", (str(target),))
    finally:
        connection.close()


def _describe(temporary: Path, folder: Path) -> Snapshot:
    connection = open_reader(temporary)
    try:
        progress = read_progress(connection)
    finally:
        connection.close()
    descriptor = os.open(temporary, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    digest = _sha256(temporary)
    name = f"snapshot-{progress.applied:019d}-{progress.term:019d}-{digest}.db"
    size = temporary.stat().st_size
    return Snapshot(folder / name, progress.applied, progress.term, digest, size)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
