"""A folder as the log needs it, and the real one. `coordinator.storage.memory` has the twin."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Protocol

from mesh.errors import StorageError

if sys.platform == "darwin":
    import fcntl

    def sync_data(descriptor: int) -> None:
        """Have the drive itself write: plain fsync stops at its cache on macOS."""
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
elif hasattr(os, "fdatasync"):
    sync_data = os.fdatasync
else:
    sync_data = os.fsync


class OpenFile(Protocol):
    """A file open for writing. Nothing is durable before `sync` has returned."""

    def write(self, offset: int, data: bytes) -> None: ...

    def truncate(self, size: int) -> None: ...

    def sync(self) -> None: ...

    def close(self) -> None: ...


class Folder(Protocol):
    """Files by name in one folder. Names are durable after `sync`. All raise OSError."""

    def names(self) -> list[str]: ...

    def read(self, name: str) -> bytes: ...

    def open(self, name: str) -> OpenFile:
        """Open for writing, made empty (mode 0600) where it is missing."""
        ...

    def rename(self, old: str, new: str) -> None:
        """In one step, over what `new` was."""
        ...

    def remove(self, name: str) -> None: ...

    def sync(self) -> None: ...


class DiskFile:
    """An `OpenFile` on a real disk."""

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        self._descriptor = os.open(path, flags, 0o600)

    def write(self, offset: int, data: bytes) -> None:
        left = memoryview(data)
        os.lseek(self._descriptor, offset, os.SEEK_SET)
        while left:
            left = left[os.write(self._descriptor, left) :]

    def truncate(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)

    def sync(self) -> None:
        sync_data(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


class DiskFolder:
    """A `Folder` on a real disk, private to its user."""

    def __init__(self, path: Path) -> None:
        """Make it (mode 0700) where it is missing. Raises StorageError."""
        self.path = path
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.chmod(0o700)
            sync_folder(path.parent)
        except OSError as error:
            raise StorageError(f"{path} cannot be made a private folder ({error})") from None

    def names(self) -> list[str]:
        return sorted(path.name for path in self.path.iterdir())

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def open(self, name: str) -> OpenFile:
        return DiskFile(self.path / name)

    def rename(self, old: str, new: str) -> None:
        (self.path / old).replace(self.path / new)

    def remove(self, name: str) -> None:
        (self.path / name).unlink()

    def sync(self) -> None:
        sync_folder(self.path)

    def __str__(self) -> str:
        return str(self.path)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable, where the system knows such a thing. Raises OSError."""
    if sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(folder: Folder, name: str, data: bytes) -> None:
    """Replace a file's content in one durable step. Raises OSError."""
    temporary = f"{name}.new"
    file = folder.open(temporary)
    try:
        file.truncate(0)
        file.write(0, data)
        file.sync()
    finally:
        file.close()
    folder.rename(temporary, name)
    folder.sync()
