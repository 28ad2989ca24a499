"""Durable commits a second, the time to load a log, and the speed of applying commands.

`python -m benchmarks.durable_log [FOLDER]`; the disk under FOLDER (default: the temporary folder)
decides most of it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

from coordinator.consensus.entry import Entry, SnapshotMark
from coordinator.state.state import SqliteState
from coordinator.storage.folder import sync_data
from coordinator.storage.log_store import DurableLog
from mesh.wire.commands import Command, SetSetting, encode_command

SECONDS = 2.0
ENTRIES = 100_000


def entry(index: int) -> Entry:
    """A setting; about 200 bytes."""
    change = SetSetting(f"key-{index % 1000}", "v" * 160)
    return Entry(index, 1, "command", encode_command(Command(f"{index:032x}", 1e9, change)))


def raw_syncs(folder: Path) -> float:
    """Bare appends with fsync a second: what the disk gives."""
    with (folder / "raw").open("wb", buffering=0) as file:
        count, end = 0, time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            file.write(b"x" * 230)
            sync_data(file.fileno())
            count += 1
    return count / SECONDS


async def commits(log: DurableLog, entries: list[Entry], outstanding: int) -> tuple[float, int]:
    """Commits a second with so many saves waiting at any time, and entries used."""
    used, end = 0, time.perf_counter() + SECONDS

    async def save() -> None:
        nonlocal used
        while time.perf_counter() < end:
            used += 1
            await log.save(None, [entries[used - 1]])

    await asyncio.gather(*(save() for _ in range(outstanding)))
    return used / SECONDS, used


async def measure_log(folder: Path, entries: list[Entry]) -> None:
    """Commits with 1 and 64 outstanding, then loading."""
    print(f"bare appends with fsync: {raw_syncs(folder):,.0f}/s")
    for outstanding in (1, 64):
        log = DurableLog.at(folder / f"log-{outstanding}")
        log.load()
        rate, _ = await commits(log, entries, outstanding)
        print(f"commits, {outstanding} outstanding: {rate:,.0f}/s")
        await log.close()
    log = DurableLog.at(folder / "log")
    log.load()
    for start in range(0, ENTRIES, 1000):
        await log.save(None, entries[start : start + 1000])
    await log.close()
    log = DurableLog.at(folder / "log")
    started = time.perf_counter()
    count = len(log.load().entries)
    print(f"loading {count:,} entries: {time.perf_counter() - started:.2f} s")
    await log.compact(SnapshotMark(ENTRIES, 1))
    await log.close()


async def measure_state(folder: Path, entries: list[Entry]) -> None:
    """Applying one by one and in blocks, then a snapshot and a start."""
    state = SqliteState(folder / "state")
    started, count = time.perf_counter(), 2000
    for each in entries[:count]:
        await state.apply([each])
    print(f"applying one by one: {count / (time.perf_counter() - started):,.0f}/s")
    started = time.perf_counter()
    for start in range(count, ENTRIES, 500):
        await state.apply(entries[start : start + 500])
    print(
        f"applying in blocks of 500: {(ENTRIES - count) / (time.perf_counter() - started):,.0f}/s"
    )
    started = time.perf_counter()
    snapshot = await state.snapshot()
    took = time.perf_counter() - started
    print(f"snapshot of {snapshot.size / 2**20:.1f} MiB: {took:.2f} s")
    await state.close()
    started = time.perf_counter()
    state = SqliteState(folder / "state")
    print(f"starting with all checks: {time.perf_counter() - started:.2f} s")
    await state.close()


async def main() -> None:
    """Print the figures."""
    base = sys.argv[1] if len(sys.argv) > 1 else None
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    entries = [entry(index) for index in range(1, ENTRIES + 1)]
    with tempfile.TemporaryDirectory(dir=base) as name:
        await measure_log(Path(name), entries)
        await measure_state(Path(name), entries)


if __name__ == "__main__":
    asyncio.run(main())
