"""The data folder: one holder at a time, private, and clear about what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.errors import StorageError
from mesh.storage.folder import DataFolder
from mesh.storage.lock import LOCK_FILE, FolderLock, holder, is_locked

HOLD = """
import sys
from pathlib import Path
from mesh.storage.folder import DataFolder
with DataFolder.open(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the folder."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "data")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_new_folder_is_private(tmp_path: Path) -> None:
    with DataFolder.open(tmp_path / "a" / "b") as folder:
        assert folder.path.stat().st_mode & 0o777 == 0o700
        assert (folder.path / LOCK_FILE).stat().st_mode & 0o777 == 0o600


def test_the_holder_is_known_while_it_holds(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    with DataFolder.open(tmp_path):
        assert is_locked(tmp_path)
        assert holder(tmp_path) == os.getpid()
    assert not is_locked(tmp_path)
    assert holder(tmp_path) is None
    assert (tmp_path / LOCK_FILE).read_text() == f"{os.getpid()}\n"


def test_a_second_process_is_told_who_holds_it(
    tmp_path: Path, other: subprocess.Popen[str]
) -> None:
    with pytest.raises(StorageError, match=rf"in use .*\(process {other.pid}\): stop it with"):
        FolderLock.acquire(tmp_path / "data", patience=0)


def test_a_killed_holder_frees_the_folder(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    other.kill()
    other.wait()
    with DataFolder.open(tmp_path / "data"):
        assert holder(tmp_path / "data") == os.getpid()


def test_who_asks_does_not_keep_the_next_one_out(tmp_path: Path) -> None:
    for _ in range(20):
        assert not is_locked(tmp_path)
        with DataFolder.open(tmp_path):
            assert is_locked(tmp_path)


def test_a_pid_that_does_not_hold_the_file_is_not_believed(
    tmp_path: Path, other: subprocess.Popen[str]
) -> None:
    (tmp_path / "data" / LOCK_FILE).write_text("1\n")
    assert is_locked(tmp_path / "data")
    assert holder(tmp_path / "data") is None


@pytest.mark.parametrize("text", ["", "0\n", "12", "abc\n", "9" * 40 + "\n"])
def test_odd_lock_files_name_nobody(
    tmp_path: Path, other: subprocess.Popen[str], text: str
) -> None:
    (tmp_path / "data" / LOCK_FILE).write_text(text)
    assert holder(tmp_path / "data") is None


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"file is not a folder: choose another"):
        DataFolder.open(tmp_path / "file")
    with pytest.raises(StorageError, match=r"cannot be made \(Not a directory\)"):
        DataFolder.open(tmp_path / "file" / "data")


def test_a_lock_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).mkdir()
    with pytest.raises(StorageError, match=r"lock cannot be locked \(Is a directory\)"):
        DataFolder.open(tmp_path)
    with pytest.raises(StorageError, match="cannot be locked"):
        is_locked(tmp_path)
