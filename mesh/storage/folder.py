"""The data folder: private to its user, held by one daemon at a time."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from mesh.errors import StorageError
from mesh.storage.lock import FolderLock


class DataFolder:
    """A data folder that this process holds until `close`."""

    def __init__(self, path: Path, lock: FolderLock) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def open(cls, path: Path) -> Self:
        """Make the folder (mode 0700) where it is missing, and lock it. Raises StorageError."""
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except FileExistsError:
            raise StorageError(f"{path} is not a folder: choose another data folder") from None
        except OSError as error:
            raise StorageError(
                f"the data folder {path} cannot be made ({error.strerror}): choose another with "
                "--data-dir"
            ) from None
        return cls(path, FolderLock.acquire(path))

    def close(self) -> None:
        """Let others have the folder. Safe to call twice."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
