"""Small private files: mode 0600, written atomically and durably."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

from mesh.errors import StorageError

MAX_PRIVATE_FILE = 64 * 1024
"""Bytes; anything longer is not one of ours."""


def read_private(path: Path, what: str, *, most: int = MAX_PRIVATE_FILE) -> bytes | None:
    """The file's bytes, None when there is none. Raises StorageError that says what to do.

    A longer file than `most` is cut after one byte more: what it holds is not ours.
    """
    try:
        with path.open("rb") as file:
            _check_private(os.fstat(file.fileno()), path, what)
            return file.read(most + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(
            f"{what} {path} cannot be read ({error.strerror}): make it a file that belongs to the "
            "user that runs the node"
        ) from None


def write_private(path: Path, data: bytes, what: str, *, replace: bool = True) -> bool:
    """Write through a temporary file, fsync and rename. Raises StorageError.

    With `replace` False an existing file stays and the answer is False.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write_durably(temporary, data)
        created = _move(temporary, path, replace)
        _sync_folder(path.parent)
    except OSError as error:
        raise StorageError(
            f"{what} {path} cannot be written ({error.strerror}): free space on that disk, or "
            "choose another data folder"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return created


def _check_private(status: os.stat_result, path: Path, what: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise StorageError(f"{what} {path} is not a plain file: move it away and start again")
    if os.name == "posix" and status.st_mode & 0o077:
        raise StorageError(f"{what} {path} can be read by other users: run 'chmod 600 {path}'")


def _write_durably(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _move(temporary: Path, path: Path, replace: bool) -> bool:
    if replace:
        temporary.replace(path)
        return True
    try:
        os.link(temporary, path)  # unlike rename, fails when another process was first
    except FileExistsError:
        return False
    return True


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return  # directories cannot be opened for fsync there
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
