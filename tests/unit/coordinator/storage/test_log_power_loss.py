"""The power fails at any operation; what was acknowledged is there, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from coordinator.consensus.entry import Entry, HardState, SnapshotMark, Stored
from coordinator.storage.memory import MemoryFolder, PowerFailure
from coordinator.storage.segments import Compact, Save, SegmentedLog
from coordinator.storage.tail import Tail
from mesh.errors import StorageDamaged, StorageError
from mesh.ids import NodeId

Make = Callable[..., list[Entry]]
SEEDS = range(400)
VOTES = (None, NodeId("ab" * 20), NodeId("cd" * 20))


class Story:
    """Random work on one folder, and what may be on disk at any moment of it."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.folder = MemoryFolder()
        self.tail = Tail()
        self.possible: list[Stored] = [self.tail.stored()]

    def open(self) -> SegmentedLog:
        """Open the folder; what it holds must be possible. Raises AssertionError."""
        log = SegmentedLog(self.folder, segment_bytes=self.rng.choice((300, 2000)))
        stored = log.load()
        assert stored in self.possible, f"{stored}\nis none of\n{self.possible}"
        self.tail = Tail()
        self.tail.hard, self.tail.mark = stored.hard, stored.mark
        self.tail.entries = list(stored.entries)
        self.possible = [stored]
        return log

    def work(self, log: SegmentedLog) -> None:
        """One commit of some jobs."""
        jobs = [self._job() for _ in range(self.rng.randint(1, 3))]
        log.commit(jobs)
        self.possible = [self.tail.stored()]

    def _job(self) -> Save | Compact:
        if self.rng.random() < 0.15:
            past = self.rng.choice((0, 0, 5))
            index = self.rng.randint(self.tail.mark.index, self.tail.last) + past
            mark = SnapshotMark(index, self.tail.hard.term)
            if index > self.tail.mark.index:
                self._expect(self.tail.forgetting(mark))
            return Compact(mark)
        hard = HardState(self.tail.hard.term + self.rng.randint(0, 1), self.rng.choice(VOTES))
        self._expect(hard)
        first = self.rng.randint(
            max(self.tail.mark.index + 1, self.tail.last - 3), self.tail.last + 1
        )
        size = self.rng.choice((3, 40, 700))
        added = [
            Entry(index, hard.term, "command", self.rng.randbytes(size))
            for index in range(first, first + self.rng.randint(0, 4))
        ]
        for entry in added:
            self._expect(entry)
        return Save(hard, added)

    def _expect(self, item: object) -> None:
        self.tail.remember(item)  # type: ignore[arg-type]
        self.possible.append(self.tail.stored())


def live(seed: int, *, sync_lies: bool = False) -> None:
    """Work, lose power in the middle of something, start again; ten times."""
    story = Story(seed)
    for _ in range(10):
        story.folder.faults.sync_lies = sync_lies
        story.folder.faults.steps = story.rng.randint(0, 60)
        try:
            log = story.open()
            while True:
                story.work(log)
        except PowerFailure:
            story.folder.power_loss(story.rng)
    story.open()


@pytest.mark.parametrize("block", range(8))
def test_what_was_acknowledged_survives_power_loss(block: int) -> None:
    for seed in SEEDS[block::8]:
        try:
            live(seed)
        except (AssertionError, StorageError) as error:
            pytest.fail(f"seed {seed}: {error}")


def test_acknowledging_before_the_fsync_is_found() -> None:
    """The deliberate bug must go red: a sync that returns before anything is written."""
    red = 0
    for seed in range(20):
        try:
            live(seed, sync_lies=True)
        except (AssertionError, StorageError):
            red += 1
    assert red == 20


def test_a_failed_fsync_is_final_and_never_forgotten(folder: MemoryFolder, entries: Make) -> None:
    log = SegmentedLog(folder)
    log.load()
    log.commit([Save(None, entries(1, 3))])
    folder.faults.sync_fails = True
    with pytest.raises(StorageError, match="failed"):
        log.commit([Save(None, entries(4, 4))])
    folder.faults.sync_fails = False
    with pytest.raises(StorageError, match="failed"):
        log.commit([Save(None, entries(4, 4))])
    # The system's memory still shows entry 4, marked as written. Once served, it must be durable.
    served = SegmentedLog(folder).load()
    folder.power_loss(Random(1))
    assert SegmentedLog(folder).load() == served


@pytest.mark.parametrize("room", range(0, 700, 7))
def test_a_full_disk_is_final_and_loses_nothing(
    folder: MemoryFolder, entries: Make, room: int
) -> None:
    log = SegmentedLog(folder, segment_bytes=400)
    log.load()
    log.commit([Save(None, entries(1, 3))])
    folder.faults.room = room
    acknowledged = 3
    with pytest.raises(StorageError, match="No space left"):
        while True:
            log.commit([Save(None, entries(acknowledged + 1, acknowledged + 1))])
            acknowledged += 1
    folder.power_loss(Random(room))
    stored = SegmentedLog(folder).load()
    assert stored.entries in (
        tuple(entries(1, acknowledged)),
        tuple(entries(1, acknowledged + 1)),
    )


def test_damage_found_at_start_is_not_repaired_by_a_restart(
    folder: MemoryFolder, entries: Make
) -> None:
    log = SegmentedLog(folder)
    log.load()
    log.commit([Save(None, entries(1, 3))])
    folder.flip("log-000000000001", 120 * 8)
    for _ in range(3):
        with pytest.raises(StorageDamaged):
            SegmentedLog(folder).load()
