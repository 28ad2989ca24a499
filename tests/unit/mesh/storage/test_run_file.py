"""run.json: private, whole or absent, and checked before it is believed."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.errors import StorageError
from mesh.storage.run_file import (
    RUN_FILE,
    RunInfo,
    read_run_file,
    remove_run_file,
    write_run_file,
)

INFO = RunInfo("http://127.0.0.1:7717", "t0ken", 4711, "ab" * 20, "127.0.0.1:7718")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert read_run_file(tmp_path) is None
    write_run_file(tmp_path, INFO)
    assert read_run_file(tmp_path) == INFO
    assert (tmp_path / RUN_FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [RUN_FILE]


def test_it_is_replaced_as_a_whole(tmp_path: Path) -> None:
    write_run_file(tmp_path, INFO)
    newer = RunInfo(INFO.url, "other", 4712, INFO.node_id, INFO.mesh)
    write_run_file(tmp_path, newer)
    assert read_run_file(tmp_path) == newer


def test_removing_it_twice_is_harmless(tmp_path: Path) -> None:
    write_run_file(tmp_path, INFO)
    remove_run_file(tmp_path)
    remove_run_file(tmp_path)
    assert read_run_file(tmp_path) is None


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "7", "{}", '{"url": "x"}',
     '{"url":1,"token":"","pid":1,"node_id":"","mesh":""}',
     '{"url":"","token":"","pid":"1","node_id":"","mesh":""}'],
)  # fmt: skip
def test_a_damaged_file_is_one_sentence(tmp_path: Path, text: str) -> None:
    write_run_file(tmp_path, INFO)
    (tmp_path / RUN_FILE).write_text(text)
    with pytest.raises(StorageError, match=r"run\.json is damaged: restart the node"):
        read_run_file(tmp_path)


def test_a_file_that_others_can_read_is_not_trusted(tmp_path: Path) -> None:
    write_run_file(tmp_path, INFO)
    (tmp_path / RUN_FILE).chmod(0o644)
    with pytest.raises(StorageError, match="can be read by other users"):
        read_run_file(tmp_path)
