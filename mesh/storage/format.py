"""The data folder's format: a number that rises when files change their meaning.

Rule for two releases in one mesh or one after the other: release N + 1 reads what N wrote, by
migrations; N never sees what N + 1 wrote, because the folder is put aside before a migration and
put back when the release is rolled back.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from mesh.errors import StorageError
from mesh.identity.private_file import read_private, write_private
from mesh.storage.lock import LOCK_FILE
from mesh.storage.run_file import RUN_FILE

FORMAT_FILE = "format"
WHAT = "the folder's format file"
RELEASES = "releases"
BACKUP = "before-format-{}"

Migration = Callable[[Path], None]

MIGRATIONS: tuple[Migration, ...] = ()
"""`MIGRATIONS[i]` turns format i + 1 into i + 2. Only ever appended to."""


def migrate(folder: Path, migrations: Sequence[Migration] = MIGRATIONS) -> Path | None:
    """Bring a locked folder to this release's format; the copy made before, if one was needed.

    Raises StorageError when a newer release wrote the folder, or a migration failed; the folder
    is then as it was.
    """
    newest = len(migrations) + 1
    found = _read_format(folder)
    if found is None:
        write_private(folder / FORMAT_FILE, b"%d\n" % newest, WHAT)
        return None
    if found > newest:
        raise StorageError(
            f"{folder} has format {found}, this release knows {newest}: start the newer release, "
            f"or put back a copy from {folder / BACKUP.format('*')}"
        )
    if found == newest:
        return None
    copy = _copy_aside(folder, found)
    try:
        for migration in migrations[found - 1 :]:
            migration(folder)
    except (OSError, ValueError, StorageError) as error:
        restore(folder, copy)
        raise StorageError(f"{folder} could not be brought to format {newest}: {error}") from error
    write_private(folder / FORMAT_FILE, b"%d\n" % newest, WHAT)
    return copy


def restore(folder: Path, copy: Path) -> None:
    """Put the files back as they were when the copy was made; newer ones are dropped."""
    for path in _state_of(folder):
        _remove(path)
    for path in copy.iterdir():
        _copy(path, folder / path.name)


def backup_of(folder: Path, number: int) -> Path | None:
    """The copy that was made before the folder left that format."""
    copy = folder / BACKUP.format(number)
    return copy if copy.is_dir() else None


def read_format(folder: Path) -> int:
    """The folder's format; 1 before its first start. Raises StorageError."""
    return _read_format(folder) or 1


def _read_format(folder: Path) -> int | None:
    data = read_private(folder / FORMAT_FILE, WHAT)
    if data is None:
        return None
    with contextlib.suppress(ValueError):
        return int(data)
    raise StorageError(f"{folder / FORMAT_FILE} holds no number: restore it from a copy")


def _copy_aside(folder: Path, number: int) -> Path:
    copy = folder / BACKUP.format(number)
    unfinished = copy.with_suffix(".part")
    for path in (unfinished, copy):
        _remove(path)
    unfinished.mkdir(mode=0o700)
    for path in _state_of(folder):
        _copy(path, unfinished / path.name)
    unfinished.rename(copy)
    return copy


def _state_of(folder: Path) -> list[Path]:
    """What a migration may touch: everything but locks, releases and copies."""
    left_out = (LOCK_FILE, RUN_FILE, RELEASES)
    prefix = BACKUP.format("")
    return [
        path
        for path in folder.iterdir()
        if path.name not in left_out and not path.name.startswith(prefix)
    ]


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
