"""One flipped bit anywhere in a log is found, or it changes nothing."""

from __future__ import annotations

import copy
from collections.abc import Callable
from random import Random

import pytest

from coordinator.consensus.entry import Entry, HardState, Members, SnapshotMark, Stored
from coordinator.storage.layout import SYNCED
from coordinator.storage.memory import MemoryFolder
from coordinator.storage.reading import read_log
from coordinator.storage.segments import Compact, Save, SegmentedLog
from mesh.errors import StorageError
from mesh.ids import NodeId

Make = Callable[..., list[Entry]]
NODE = NodeId("ab" * 20)


def small_log(folder: MemoryFolder, entries: Make) -> None:
    log = SegmentedLog(folder, segment_bytes=400)
    log.load()
    log.commit([Save(HardState(1, NODE), entries(1, 12))])
    log.commit([Compact(SnapshotMark(4, 1, Members((NODE,))))])
    log.commit([Save(HardState(2), entries(10, 14, term=2))])
    log.commit([Save(HardState(3, NODE), [])])


def what_is_read(folder: MemoryFolder) -> Stored:
    """What a start would find; changes nothing."""
    found = read_log(folder)
    assert found is not None
    return found.tail.stored()


def test_every_flipped_bit_is_found_or_harmless(folder: MemoryFolder, entries: Make) -> None:
    small_log(folder, entries)
    true = what_is_read(folder)
    found = harmless = 0
    for name in folder.names():
        size = len(folder.read(name))
        # All of the marker's two slots, not the thousands of unused bytes between them.
        places = range(size) if name != SYNCED else [*range(24), *range(4096, 4120)]
        for bit in (place * 8 + bit for place in places for bit in range(8)):
            folder.flip(name, bit)
            try:
                assert what_is_read(folder) == true and name == SYNCED, f"{name} bit {bit}"
                harmless += 1
            except StorageError as error:
                assert name in str(error)
                found += 1
            folder.flip(name, bit)
    assert found > 3000 and harmless > 300


def test_damaged_stretches_are_found(folder: MemoryFolder, entries: Make) -> None:
    small_log(folder, entries)
    true = SegmentedLog(copy.deepcopy(folder)).load()
    names = [name for name in folder.names() if name != SYNCED]
    for seed in range(300):
        rng = Random(seed)
        damaged = copy.deepcopy(folder)
        name = rng.choice(names)
        content = folder.read(name)
        start = rng.randrange(len(content))
        stretch = rng.choice((bytes(64), rng.randbytes(rng.randint(1, 64)), content[:64]))
        damaged.open(name).write(start, stretch)
        if damaged.read(name) == content:
            continue
        try:
            stored = SegmentedLog(damaged).load()
        except StorageError:
            continue
        # Only bytes after the end may be wrong: those a loss of power could have left there.
        assert stored == true and damaged.read(name)[: len(content)] == content, f"seed {seed}"


def test_without_the_marker_a_flip_at_the_end_would_be_served(
    folder: MemoryFolder, entries: Make
) -> None:
    """The deliberate bug: forget how far was synced, and an acknowledged vote is lost."""
    small_log(folder, entries)
    folder.open(SYNCED).write(0, bytes(8192))
    last = folder.names()[-3]
    folder.flip(last, (len(folder.read(last)) - 1) * 8)
    assert SegmentedLog(folder).load().hard == HardState(2)


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_an_unsynced_end_is_cut_off(folder: MemoryFolder, entries: Make, cut: int) -> None:
    small_log(folder, entries)
    last = folder.names()[-3]
    size = len(folder.read(last))
    folder.open(last).write(size, Random(1).randbytes(cut))
    assert SegmentedLog(folder).load().hard == HardState(3, NODE)
    assert len(folder.read(last)) == size
