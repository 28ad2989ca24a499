"""What was never synced is dropped from a coordinator's files, and nothing else."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from random import Random

import pytest

from chaos.unsynced import drop_unsynced
from coordinator.consensus.entry import Entry, HardState
from coordinator.storage.log_store import DurableLog


def state_of(data_dir: Path) -> Path:
    return data_dir / "coordinator" / "state" / "state-1.db"


async def write_log(data_dir: Path, saves: int) -> Path:
    """A log with so many saved entries; its segment."""
    folder = data_dir / "coordinator" / "log"
    folder.parent.mkdir(exist_ok=True)
    log = DurableLog.at(folder)
    log.load()
    for index in range(1, saves + 1):
        await log.save(HardState(1), [Entry(index, 1, "command", b"x" * 50)], lost=0)
    await log.close()
    return folder / "log-000000000001"


def open_state(data_dir: Path) -> sqlite3.Connection:
    state_of(data_dir).parent.mkdir(parents=True)
    connection = sqlite3.connect(state_of(data_dir), isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("CREATE TABLE kept (value)")
    return connection


def rows_after_loss(data_dir: Path, dead: Path) -> int:
    """The rows found when the files as they are now lose what was not synced."""
    shutil.copytree(data_dir, dead)
    drop_unsynced(dead, Random(1))
    found = sqlite3.connect(state_of(dead))
    try:
        return int(found.execute("SELECT count(*) FROM kept").fetchone()[0])
    finally:
        found.close()


@pytest.mark.parametrize("seed", range(8))
async def test_unsynced_records_go_and_synced_ones_stay(tmp_path: Path, seed: int) -> None:
    segment = await write_log(tmp_path, 5)
    synced = segment.read_bytes()
    segment.write_bytes(synced + synced[-80:])  # a record that no fsync has seen
    assert drop_unsynced(tmp_path, Random(seed)).log == 80
    assert segment.read_bytes().startswith(synced)
    log = DurableLog.at(segment.parent)
    assert [entry.index for entry in log.load().entries] == [1, 2, 3, 4, 5]
    await log.close()


async def test_rows_are_kept_from_the_checkpoint_that_synced_them(tmp_path: Path) -> None:
    living = tmp_path / "living"
    await write_log_beside(living)
    connection = open_state(living)
    connection.execute("INSERT INTO kept VALUES (1)")
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    assert rows_after_loss(living, tmp_path / "checkpointed") == 1
    connection.execute("INSERT INTO kept VALUES (2)")  # the WAL begins anew
    assert rows_after_loss(living, tmp_path / "written") == 1
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    assert rows_after_loss(living, tmp_path / "again") == 2
    connection.close()


async def write_log_beside(data_dir: Path) -> None:
    data_dir.mkdir()
    await write_log(data_dir, 1)


def test_a_node_that_never_coordinated_loses_nothing(tmp_path: Path) -> None:
    assert drop_unsynced(tmp_path, Random(1)) == drop_unsynced(tmp_path, Random(2))
    assert list(tmp_path.iterdir()) == []
