"""Snapshots are whole databases; damage is set aside, never served."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest
import pytest_asyncio

from coordinator.consensus.entry import Entry
from coordinator.state.machine import Changes
from coordinator.state.snapshots import KEPT
from coordinator.state.state import MAX_WATCHERS, SqliteState, recover_state
from mesh.errors import StorageDamaged, StorageError
from mesh.wire.commands import SetSetting
from tests.unit.coordinator.state.conftest import MakeEntry


@pytest_asyncio.fixture
async def state(tmp_path: Path) -> AsyncIterator[SqliteState]:
    one = SqliteState(tmp_path / "state")
    yield one
    await one.close()


@pytest.fixture
def log(entry: MakeEntry) -> list[Entry]:
    return [entry(index, SetSetting(f"k{index}", f"v{index}" * 9)) for index in range(1, 101)]


async def settings_in(folder: Path) -> int:
    """How many settings a restart finds; closes it again."""
    state = SqliteState(folder)
    count = len(state.rows.settings())
    await state.close()
    return count


async def test_it_is_there_after_a_restart(
    state: SqliteState, log: list[Entry], tmp_path: Path
) -> None:
    await state.apply(log)
    await state.close()
    again = SqliteState(tmp_path / "state")
    assert (again.applied, again.term, again.level) == (100, 1, 1)
    assert len(again.rows.settings()) == 100
    await again.close()


async def test_its_files_are_private(state: SqliteState, log: list[Entry], tmp_path: Path) -> None:
    await state.apply(log)
    await state.snapshot()
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "state").iterdir()}
    assert set(modes.values()) == {0o600}, modes


async def test_watchers_hear_of_committed_changes(state: SqliteState, log: list[Entry]) -> None:
    heard: list[Changes] = []

    def watch(changes: Changes) -> None:
        assert len(state.rows.settings()) >= 1  # it is readable by now
        heard.append(changes)

    end = state.on_change(watch)
    await asyncio.gather(*(state.apply([each]) for each in log[:50]))
    keys = [key for changes in heard for key in changes.rows["settings"]]
    assert sorted(keys) == sorted(f"k{index}" for index in range(1, 51))
    heard.clear()
    await state.apply([Entry(51, 1, "empty", b"")])
    assert heard == []
    end()
    end()
    await state.apply([Entry(52, 1, "command", log[51].data)])
    assert heard == []


async def test_a_failing_watcher_disturbs_nobody(
    state: SqliteState, log: list[Entry], caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Changes) -> None:
        raise RuntimeError("planted")

    heard: list[Changes] = []
    state.on_change(fail)
    state.on_change(heard.append)
    await state.apply(log)
    assert heard and "planted" in caplog.text
    with pytest.raises(StorageError, match="watch"):
        for _ in range(MAX_WATCHERS):
            state.on_change(heard.append)


async def test_who_gives_up_waiting_changes_nothing(state: SqliteState, log: list[Entry]) -> None:
    heard: list[Changes] = []
    state.on_change(heard.append)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await state.apply(log)
    async with asyncio.timeout(5):
        while state.applied < 100:
            await asyncio.sleep(0)
    await state.apply([Entry(101, 1, "empty", b"")])  # another batch, which changes no rows
    assert [changes.index for changes in heard] == [100]


async def test_another_member_goes_on_from_a_snapshot(
    state: SqliteState, log: list[Entry], tmp_path: Path
) -> None:
    await state.apply(log[:60])
    snapshot = await state.snapshot()
    await state.apply(log[60:])
    assert (snapshot.index, snapshot.term, snapshot.path.stat().st_size) == (60, 1, snapshot.size)
    other = SqliteState(tmp_path / "other")
    heard: list[Changes] = []
    other.on_change(heard.append)
    await other.apply(log[:10])
    await other.install(snapshot.path, snapshot.sha256)
    assert heard[-1].everything and len(other.rows.settings()) == other.applied == 60
    await other.apply(log[60:])
    assert other.rows.digest() == state.rows.digest()
    await other.close()
    assert await settings_in(tmp_path / "other") == 100


async def test_snapshots_while_applying_hold_one_moment(
    state: SqliteState, log: list[Entry], tmp_path: Path
) -> None:
    async def apply_all() -> None:
        for each in log:
            await state.apply([each])

    taken, _ = await asyncio.gather(state.snapshot(), apply_all())
    other = SqliteState(tmp_path / "other")
    await other.install(taken.path, taken.sha256)
    assert len(other.rows.settings()) == other.applied == taken.index
    await other.close()


async def test_few_snapshots_are_kept(state: SqliteState, log: list[Entry]) -> None:
    for each in log[: KEPT + 3]:
        await state.apply([each])
        await state.snapshot()
    assert [snapshot.index for snapshot in state.snapshots()] == [5, 4]


async def test_a_snapshot_that_is_not_whole_is_refused(
    state: SqliteState, log: list[Entry], tmp_path: Path
) -> None:
    await state.apply(log)
    snapshot = await state.snapshot()
    other = SqliteState(tmp_path / "other")
    content = bytearray(snapshot.path.read_bytes())
    content[len(content) // 2] ^= 1
    bad = tmp_path / "bad.db"
    bad.write_bytes(content)
    with pytest.raises(StorageDamaged, match="SHA-256"):
        await other.install(bad, snapshot.sha256)
    assert other.applied == 0
    await other.apply(log[:5])
    await other.close()
    assert await settings_in(tmp_path / "other") == 5
    assert len(list((tmp_path / "other").glob("state-*.db"))) == 1


@pytest.mark.parametrize(
    "planted",
    [
        "UPDATE settings SET value = 'other' WHERE key = 'k1'",
        "DELETE FROM recent",
        "CREATE TRIGGER bad AFTER INSERT ON settings BEGIN DELETE FROM settings; END",
        "CREATE TABLE more (a)",
        "DROP TABLE revocations",
        "DELETE FROM progress",
    ],
)
async def test_a_snapshot_with_planted_content_is_refused(
    state: SqliteState, log: list[Entry], tmp_path: Path, planted: str
) -> None:
    await state.apply(log)
    snapshot = await state.snapshot()
    bad = tmp_path / "bad.db"
    shutil.copy(snapshot.path, bad)
    connection = sqlite3.connect(bad)
    connection.execute(planted)
    connection.commit()
    connection.close()
    # Its hash is right: whoever sent it had it like this.
    digest = await asyncio.to_thread(_sha256, bad)
    other = SqliteState(tmp_path / "other")
    with pytest.raises(StorageDamaged):
        await other.install(bad, digest)
    assert other.applied == 0
    await other.close()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


async def test_an_older_snapshot_is_refused(state: SqliteState, log: list[Entry]) -> None:
    await state.apply(log[:10])
    snapshot = await state.snapshot()
    await state.apply(log[10:])
    with pytest.raises(StorageError, match="ends at 10"):
        await state.install(snapshot.path, snapshot.sha256)
    assert len(state.rows.settings()) == 100


async def test_a_crash_while_installing_leaves_the_old_state(
    state: SqliteState, log: list[Entry], tmp_path: Path
) -> None:
    """Everything but the last step was done: the new file is there, `current` names the old."""
    await state.apply(log[:10])
    await state.close()
    (tmp_path / "state" / "state-2.db").write_bytes(b"half a copy")
    (tmp_path / "state" / "current.new").write_bytes(b"sta")
    assert await settings_in(tmp_path / "state") == 10


@pytest.mark.parametrize("seed", range(30))
async def test_damage_is_found_or_harmless_and_mended_from_a_snapshot(
    state: SqliteState, log: list[Entry], tmp_path: Path, seed: int
) -> None:
    await state.apply(log[:80])
    await state.snapshot()
    await state.apply(log[80:])
    await state.close()
    rng = Random(seed)
    (database,) = (tmp_path / "state").glob("state-*.db")
    with database.open("r+b") as file:
        place = rng.randrange(os.fstat(file.fileno()).st_size)
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1 << rng.randrange(8)]))
    recovered = await recover_state(tmp_path / "state", needed=80)
    assert recovered.applied in (80, 100), f"seed {seed}"
    assert len(recovered.rows.settings()) == recovered.applied, f"seed {seed}"
    assert recovered.rows.settings()["k1"] == "v1" * 9
    await recovered.apply([e for e in log if e.index > recovered.applied])
    assert len(recovered.rows.settings()) == 100
    await recovered.close()


async def test_without_a_snapshot_it_says_how_far_it_came(
    state: SqliteState, log: list[Entry], tmp_path: Path
) -> None:
    await state.apply(log)
    await state.close()
    (database,) = (tmp_path / "state").glob("state-*.db")
    database.write_bytes(b"rubbish" * 1000)
    recovered = await recover_state(tmp_path / "state", needed=80)
    assert recovered.applied == 0
    await recovered.close()
    assert len(list((tmp_path / "state").glob("state.db.damaged-*"))) == 1


async def test_a_damaged_snapshot_is_passed_over(
    state: SqliteState, log: list[Entry], tmp_path: Path
) -> None:
    await state.apply(log[:50])
    await state.snapshot()
    await state.apply(log[50:])
    newest = await state.snapshot()
    await state.close()
    newest.path.write_bytes(b"rubbish")
    (tmp_path / "state" / "current").write_bytes(b"rubbish")
    recovered = await recover_state(tmp_path / "state", needed=100)
    assert recovered.applied == 50
    await recovered.close()
