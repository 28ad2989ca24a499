"""The data folder moves on with releases, and back when one is rolled back."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.errors import StorageError
from mesh.storage.format import backup_of, migrate, read_format, restore


def rename_key(folder: Path) -> None:
    (folder / "key").rename(folder / "node-key")


def add_table(folder: Path) -> None:
    (folder / "table").write_text("new")


def fail(folder: Path) -> None:
    (folder / "key").unlink()
    raise ValueError("no such column")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "key").write_text("secret")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "log").write_text("entries")
    assert migrate(tmp_path, ()) is None
    return tmp_path


def test_a_new_folder_has_the_newest_format(tmp_path: Path) -> None:
    assert migrate(tmp_path, (rename_key,)) is None
    assert read_format(tmp_path) == 2


def test_every_missing_step_is_taken_in_order_and_once(folder: Path) -> None:
    copy = migrate(folder, (rename_key, add_table))
    assert copy == backup_of(folder, 1)
    assert read_format(folder) == 3
    assert (folder / "node-key").read_text() == "secret"
    assert migrate(folder, (rename_key, add_table)) is None


def test_a_rollback_finds_the_folder_as_it_was(folder: Path) -> None:
    copy = migrate(folder, (rename_key, add_table))
    assert copy is not None
    (folder / "state" / "log").write_text("entries of the newer release")
    restore(folder, copy)
    assert read_format(folder) == 1
    assert (folder / "key").read_text() == "secret"
    assert (folder / "state" / "log").read_text() == "entries"
    assert not (folder / "table").exists()


def test_a_failed_step_leaves_the_folder_as_it_was(folder: Path) -> None:
    with pytest.raises(StorageError, match="no such column"):
        migrate(folder, (fail,))
    assert (folder / "key").read_text() == "secret"
    assert read_format(folder) == 1


def test_an_older_release_refuses_a_newer_folder(folder: Path) -> None:
    migrate(folder, (add_table,))
    with pytest.raises(StorageError, match="start the newer release"):
        migrate(folder, ())


def test_a_damaged_number_is_said(folder: Path) -> None:
    (folder / "format").write_text("two")
    with pytest.raises(StorageError, match="no number"):
        migrate(folder, ())
