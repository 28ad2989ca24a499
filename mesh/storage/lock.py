"""One daemon a data folder: a lock that the kernel drops with the process, however it dies."""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path
from typing import Self

from mesh.errors import StorageError

LOCK_FILE = "lock"
PATIENCE = 0.5
"""Seconds an acquirer tries again: somebody who only asks holds the lock for an instant."""
PAUSE = 0.02
"""Seconds between two tries."""

if sys.platform == "win32":
    import msvcrt

    _LOCKED_BYTE = 1 << 30  # a locked byte cannot be read, so it lies far behind the pid

    def _try_lock(descriptor: int, *, shared: bool) -> bool:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
        return True
else:
    import fcntl

    def _try_lock(descriptor: int, *, shared: bool) -> bool:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class FolderLock:
    """A held lock. Its file names the holder's pid and stays when the lock is gone."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def acquire(cls, folder: Path, *, patience: float = PATIENCE) -> Self:
        """Lock the folder for this process. Raises StorageError when another process has it."""
        path = folder / LOCK_FILE
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StorageError(_cannot_lock(path, error)) from None
        lock = cls(descriptor)
        try:
            lock._claim(folder, time.monotonic() + patience)
        except OSError as error:
            lock.release()
            raise StorageError(_cannot_lock(path, error)) from None
        except StorageError:
            lock.release()
            raise
        return lock

    def release(self) -> None:
        """Give the folder back. Safe to call twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _claim(self, folder: Path, give_up: float) -> None:
        assert self._descriptor is not None
        while not _try_lock(self._descriptor, shared=False):
            if time.monotonic() > give_up:
                raise StorageError(_in_use(folder))
            time.sleep(PAUSE)
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, f"{os.getpid()}\n".encode())


def is_locked(folder: Path) -> bool:
    """True while some process holds the folder. Raises StorageError when that cannot be told."""
    path = folder / LOCK_FILE
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageError(_cannot_lock(path, error)) from None
    try:
        return not _try_lock(descriptor, shared=True)
    except OSError as error:
        raise StorageError(_cannot_lock(path, error)) from None
    finally:
        os.close(descriptor)


def holder(folder: Path) -> int | None:
    """The pid of the process that holds the folder, None when nobody does or it is not known.

    On Linux the process must be seen to have the lock file open: a pid written in another
    container names somebody else here.
    """
    if not is_locked(folder):
        return None
    path = folder / LOCK_FILE
    try:
        text = path.read_text(encoding="ascii", errors="replace")[:32]
    except OSError:
        return None
    match = re.fullmatch(r"([1-9]\d{0,9})\n", text)
    if match is None or not _has_open(int(match[1]), path):
        return None
    return int(match[1])


def _has_open(pid: int, path: Path) -> bool:
    if sys.platform != "linux":
        return True  # nothing to look it up in
    wanted = path.stat()
    try:
        entries = list(os.scandir(f"/proc/{pid}/fd"))
    except OSError:
        return False
    return any(_is_file(entry, wanted) for entry in entries)


def _is_file(entry: os.DirEntry[str], wanted: os.stat_result) -> bool:
    try:
        return os.path.samestat(entry.stat(), wanted)
    except OSError:
        return False  # closed in the meantime


def _in_use(folder: Path) -> str:
    pid = holder(folder)
    who = f"process {pid}" if pid else "another process"
    return (
        f"the data folder {folder} is in use by a running node ({who}): stop it with "
        f"'electrons stop --data-dir {folder}', or give this one its own --data-dir"
    )


def _cannot_lock(path: Path, error: OSError) -> str:
    return (
        f"{path} cannot be locked ({error.strerror or error}): the data folder must be on a local "
        "disk with free space and belong to the user that runs the node"
    )
