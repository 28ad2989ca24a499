"""Which database file is the state: switched in one step, so no old WAL ever meets a new file.

`current` names the file `state-N.db`. Installing a snapshot makes `state-(N+1).db`, then `current`.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from coordinator.state.database import create_database
from coordinator.storage.folder import DiskFolder, replace_file
from coordinator.storage.log_store import set_aside
from mesh.errors import StorageDamaged, StorageError

CURRENT = "current"
_NAME = re.compile(r"state-([0-9]{1,9})\.db")


class Generations:
    """The database files of one folder, which is made private where it is missing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._folder = DiskFolder(path)

    def current(self) -> Path:
        """The file in use; an empty one is made in a new folder. Raises StorageError."""
        try:
            names = self._folder.names()
            if CURRENT in names:
                return self.path / self._checked(self._folder.read(CURRENT))
        except OSError as error:
            raise StorageError(f"{self.path} cannot be read ({error})") from None
        if any(_NAME.fullmatch(name) for name in names):
            self.clean(keep=None)  # a crash came before `current`: nothing was ever applied
        path = self.next()
        create_database(path)
        self.switch(path)
        return path

    def next(self) -> Path:
        """A name that was not used yet."""
        numbers = [
            int(match[1])
            for path in self.path.iterdir()
            if (match := _NAME.match(path.name)) is not None
        ]
        return self.path / f"state-{max(numbers, default=0) + 1}.db"

    def switch(self, path: Path) -> None:
        """From now on this is the state, durably; the others are removed. Raises StorageError."""
        try:
            replace_file(self._folder, CURRENT, path.name.encode())
            self.clean(keep=path)
        except OSError as error:
            raise StorageError(f"{path} cannot become the state ({error})") from None

    def set_aside(self) -> None:
        """Keep a damaged state for a person to look at; the next `current` is empty."""
        try:
            named = self.path / CURRENT
            name = named.read_bytes().decode("ascii", "replace")
            named.unlink(missing_ok=True)
            if _NAME.fullmatch(name) and (self.path / name).exists():
                (self.path / name).rename(self.path / "state.db")
                set_aside(self.path / "state.db")
            self.clean(keep=None)
        except OSError as error:
            raise StorageError(f"the state in {self.path} cannot be set aside ({error})") from None

    def clean(self, *, keep: Path | None) -> None:
        """Remove every generation but one, with what SQLite put beside it; what resists stays."""
        for path in self.path.glob("state-*.db*"):
            if keep is None or not path.name.startswith(keep.name):
                with contextlib.suppress(OSError):  # where open files resist: at the next start
                    path.unlink()

    def _checked(self, content: bytes) -> str:
        name = content.decode("ascii", "replace")
        if not _NAME.fullmatch(name):
            raise StorageDamaged(str(self.path / CURRENT), "it names no database")
        if not (self.path / name).exists():
            raise StorageDamaged(str(self.path / name), "it is missing")
        return name
