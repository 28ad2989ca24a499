"""Saves that wait at the same moment share one fsync, and fail together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from coordinator.consensus.entry import Entry, HardState, LogStore, SnapshotMark
from coordinator.storage.batches import MAX_WAITING, Batches
from coordinator.storage.log_store import KEPT_ASIDE, DurableLog, set_aside
from coordinator.storage.memory import MemoryFile, MemoryFolder
from mesh.errors import StorageDamaged, StorageError

Make = Callable[..., list[Entry]]


@pytest_asyncio.fixture
async def log(tmp_path: Path) -> AsyncIterator[DurableLog]:
    store = DurableLog.at(tmp_path / "log")
    store.load()
    yield store
    await store.close()


@pytest_asyncio.fixture
async def twin(folder: MemoryFolder) -> AsyncIterator[DurableLog]:
    store = DurableLog(folder)
    store.load()
    yield store
    await store.close()


async def save_all(log: DurableLog, all_entries: list[Entry]) -> list[BaseException | None]:
    """Save each by itself, all at once; what each call raised."""
    saves = (log.save(None, [entry]) for entry in all_entries)
    async with asyncio.timeout(5):
        return await asyncio.gather(*saves, return_exceptions=True)


async def test_it_is_a_log_store_on_disk(log: DurableLog, tmp_path: Path, entries: Make) -> None:
    store: LogStore = log
    await store.save(HardState(1), entries(1, 3))
    await store.compact(SnapshotMark(1, 1))
    await store.close()
    again = DurableLog.at(tmp_path / "log")
    assert again.load().entries == tuple(entries(2, 3))
    await again.close()


async def test_its_files_are_private(log: DurableLog, tmp_path: Path, entries: Make) -> None:
    await log.save(HardState(1), entries(1, 3))
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "log").iterdir()} == {0o600}


async def test_saves_that_wait_share_one_fsync(
    twin: DurableLog, entries: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs: list[MemoryFile] = []
    monkeypatch.setattr(MemoryFile, "sync", lambda file: syncs.append(file))
    assert await save_all(twin, entries(1, 200)) == [None] * 200
    assert 1 <= len(syncs) < 20


async def test_a_failed_fsync_fails_all_that_wait_and_all_later(
    twin: DurableLog, folder: MemoryFolder, entries: Make
) -> None:
    folder.faults.sync_fails = True
    results = await save_all(twin, entries(1, 50))
    assert all(isinstance(result, StorageError) for result in results)
    folder.faults.sync_fails = False
    with pytest.raises(StorageError):
        await twin.save(None, entries(1, 1))


async def test_waiting_jobs_are_bounded() -> None:
    started, go_on = threading.Event(), threading.Event()

    def work(jobs: Sequence[int]) -> Sequence[int]:
        started.set()
        assert go_on.wait(5)
        return jobs

    batches = Batches("test", work)
    first = batches.submit(0)
    await asyncio.to_thread(started.wait, 5)
    waiting = [batches.submit(number) for number in range(MAX_WAITING)]
    with pytest.raises(StorageError, match="wait for the disk"):
        batches.submit(0)
    go_on.set()
    assert await first == 0
    assert await asyncio.gather(*waiting) == list(range(MAX_WAITING))
    await batches.close()


async def test_a_cancelled_save_disturbs_nobody(twin: DurableLog, entries: Make) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await twin.save(None, entries(1, 1))
    await twin.save(None, entries(2, 2))


async def test_a_closed_log_refuses(log: DurableLog, entries: Make) -> None:
    await log.close()
    await log.close()
    with pytest.raises(StorageError, match="closed"):
        await log.save(None, entries(1, 1))


async def test_an_unloaded_log_refuses(tmp_path: Path, entries: Make) -> None:
    unloaded = DurableLog.at(tmp_path / "other")
    with pytest.raises(StorageError, match="not loaded"):
        await unloaded.save(None, entries(1, 1))
    await unloaded.close()


async def test_a_damaged_folder_is_set_aside_and_a_few_are_kept(
    tmp_path: Path, entries: Make
) -> None:
    path = tmp_path / "log"
    for _ in range(KEPT_ASIDE + 2):
        log = DurableLog.at(path)
        assert log.load().entries == ()
        await log.save(None, entries(1, 3))
        await log.close()
        (path / "manifest").write_bytes(b"rubbish")
        with pytest.raises(StorageDamaged, match="manifest"):
            DurableLog.at(path).load()
        assert set_aside(path).is_dir() and not path.exists()
    assert len(list(tmp_path.iterdir())) == KEPT_ASIDE


def test_a_file_where_the_folder_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("")
    with pytest.raises(StorageError, match="cannot be made"):
        DurableLog.at(tmp_path / "log")
