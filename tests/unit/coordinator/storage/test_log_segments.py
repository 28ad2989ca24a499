"""What the log remembers over restarts, and what it refuses to believe."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from coordinator.consensus.entry import Entry, HardState, Members, SnapshotMark
from coordinator.storage.layout import (
    FORMAT,
    MANIFEST,
    SLOT_SPACING,
    SYNCED,
    Synced,
    encode_slot,
    segment_name,
    segment_numbers,
)
from coordinator.storage.memory import MemoryFolder
from coordinator.storage.record import MAX_DATA
from coordinator.storage.segments import Compact, Save, SegmentedLog
from mesh.errors import StorageDamaged, StorageError
from mesh.ids import NodeId

Reopen = Callable[[], SegmentedLog]
Make = Callable[..., list[Entry]]
NODE = NodeId("ab" * 20)
OTHER = NodeId("cd" * 20)


def test_a_new_folder_is_empty_and_stays_so(reopened: Reopen) -> None:
    first = reopened().load()
    assert (first.hard, first.mark, first.entries) == (HardState(), SnapshotMark(), ())
    assert reopened().load() == first


def test_entries_and_votes_come_back(reopened: Reopen, entries: Make) -> None:
    log = reopened()
    log.load()
    log.commit([Save(HardState(3, NODE), entries(1, 2))])
    log.commit(
        [Save(HardState(4, None), [Entry(3, 4, "members", b"m"), Entry(4, 4, "empty", b"")])]
    )
    stored = reopened().load()
    assert stored.hard == HardState(4, None)
    assert stored.entries[:2] == tuple(entries(1, 2))
    assert [entry.kind for entry in stored.entries] == ["command", "command", "members", "empty"]


def test_that_the_state_was_lost_is_remembered_until_it_is_taken_back(
    reopened: Reopen, entries: Make, folder: MemoryFolder
) -> None:
    log = reopened()
    log.load()
    log.commit([Save(None, [], lost=2**62)])
    log.commit([Save(None, entries(1, 50)), Compact(SnapshotMark(50, 1))])
    log = reopened()
    log.load()
    assert log.lost == 2**62 and 1 not in segment_numbers(folder.names())
    log.commit([Save(None, [], lost=0)])
    log = reopened()
    log.load()
    assert log.lost == 0


def test_a_later_leaders_entries_replace_the_rest(reopened: Reopen, entries: Make) -> None:
    log = reopened()
    log.load()
    log.commit([Save(None, entries(1, 30))])
    log.commit([Save(None, entries(5, 6, term=2))])
    assert reopened().load().entries == tuple(entries(1, 4) + entries(5, 6, term=2))


def test_a_log_goes_on_after_many_restarts(
    reopened: Reopen, entries: Make, folder: MemoryFolder
) -> None:
    for index in range(1, 60):
        log = reopened()
        assert len(log.load().entries) == index - 1
        log.commit([Save(HardState(index, NODE), entries(index, index))])
        log.close()
    assert len(segment_numbers(folder.names())) > 3


def test_compaction_removes_whole_segments(
    reopened: Reopen, entries: Make, folder: MemoryFolder
) -> None:
    log = reopened()
    log.load()
    for index in range(1, 101):
        log.commit([Save(HardState(index), entries(index, index))])
    before = len(segment_numbers(folder.names()))
    mark = SnapshotMark(60, 1, Members((NODE, OTHER), (NODE,)))
    log.commit([Compact(mark)])
    assert len(segment_numbers(folder.names())) < before / 2 + 1
    stored = reopened().load()
    assert stored.mark == mark and stored.hard == HardState(100)
    assert stored.entries == tuple(entries(61, 100))


def test_a_mark_past_the_end_empties_the_log(
    reopened: Reopen, entries: Make, folder: MemoryFolder
) -> None:
    log = reopened()
    log.load()
    log.commit([Save(HardState(2, NODE), entries(1, 50)), Compact(SnapshotMark(500, 2))])
    assert len(segment_numbers(folder.names())) == 1
    log.commit([Save(None, entries(501, 502, term=2))])
    stored = reopened().load()
    assert stored.mark.index == 500 and stored.entries == tuple(entries(501, 502, term=2))


def test_a_snapshot_that_contradicts_the_log_replaces_it(reopened: Reopen, entries: Make) -> None:
    log = reopened()
    log.load()
    log.commit([Save(None, entries(1, 50)), Compact(SnapshotMark(20, 7))])
    assert reopened().load().entries == ()


def test_an_old_mark_changes_nothing(reopened: Reopen, entries: Make) -> None:
    log = reopened()
    log.load()
    log.commit(
        [Save(None, entries(1, 9)), Compact(SnapshotMark(5, 1)), Compact(SnapshotMark(3, 1))]
    )
    stored = reopened().load()
    assert stored.mark.index == 5 and stored.entries == tuple(entries(6, 9))


@pytest.mark.parametrize("first", [3, 12])
def test_entries_out_of_order_end_the_log(reopened: Reopen, entries: Make, first: int) -> None:
    log = reopened()
    log.load()
    log.commit([Save(None, entries(1, 10)), Compact(SnapshotMark(5, 1))])
    with pytest.raises(StorageError):
        log.commit([Save(None, entries(first, first))])
    with pytest.raises(StorageError):
        log.commit([Save(None, entries(11, 11))])
    assert reopened().load().entries == tuple(entries(6, 10))


def test_an_overlong_command_is_refused(reopened: Reopen) -> None:
    log = reopened()
    log.load()
    with pytest.raises(StorageError, match="at most"):
        log.commit([Save(None, [Entry(1, 1, "command", bytes(MAX_DATA + 1))])])


def test_nothing_is_written_before_load(reopened: Reopen, entries: Make) -> None:
    with pytest.raises(StorageError, match="not loaded"):
        reopened().commit([Save(None, entries(1, 1))])


@pytest.fixture
def filled(reopened: Reopen, entries: Make, folder: MemoryFolder) -> MemoryFolder:
    log = reopened()
    log.load()
    for index in range(1, 40):
        log.commit([Save(HardState(index, NODE), entries(index, index))])
    log.close()
    assert len(segment_numbers(folder.names())) >= 4
    return folder


@pytest.mark.parametrize("place", [0, 1, -1])
def test_a_missing_segment_is_named(filled: MemoryFolder, reopened: Reopen, place: int) -> None:
    name = segment_name(segment_numbers(filled.names())[place])
    filled.remove(name)
    with pytest.raises(StorageDamaged, match=name):
        reopened().load()


@pytest.mark.parametrize("name", [MANIFEST, SYNCED])
def test_a_missing_small_file_is_named(filled: MemoryFolder, reopened: Reopen, name: str) -> None:
    filled.remove(name)
    with pytest.raises(StorageDamaged, match=name):
        reopened().load()


def test_segments_in_the_wrong_order_are_found(filled: MemoryFolder, reopened: Reopen) -> None:
    filled.rename(segment_name(2), "aside")
    filled.rename(segment_name(3), segment_name(2))
    filled.rename("aside", segment_name(3))
    with pytest.raises(StorageDamaged):
        reopened().load()


def test_a_segment_of_another_folder_is_found(
    filled: MemoryFolder, reopened: Reopen, entries: Make
) -> None:
    other = MemoryFolder()
    log = SegmentedLog(other, segment_bytes=400)
    log.load()
    for index in range(1, 40):
        log.commit([Save(HardState(index, NODE), entries(index, index))])
    foreign = filled.open(segment_name(2))
    foreign.write(0, other.read(segment_name(2)))
    with pytest.raises(StorageDamaged, match="belongs elsewhere"):
        reopened().load()


def test_a_synced_end_that_was_cut_off_is_found(filled: MemoryFolder, reopened: Reopen) -> None:
    last = segment_name(segment_numbers(filled.names())[-1])
    filled.open(last).truncate(len(filled.read(last)) - 1)
    with pytest.raises(StorageDamaged, match=last):
        reopened().load()


def test_a_marker_ahead_of_the_manifest_vouches_for_all(
    filled: MemoryFolder, reopened: Reopen
) -> None:
    """As after a crash between the two: the next segment was begun, so this one was synced."""
    newest = segment_numbers(filled.names())[-1]
    for start in (0, SLOT_SPACING):
        filled.open(SYNCED).write(start, encode_slot(Synced(newest + 1, 50)))
    name = segment_name(newest)
    assert len(reopened().load().entries) == 39
    for start in (0, SLOT_SPACING):
        filled.open(SYNCED).write(start, encode_slot(Synced(newest + 1, 50)))
    filled.open(name).truncate(len(filled.read(name)) - 1)
    with pytest.raises(StorageDamaged, match=name):
        reopened().load()


@pytest.mark.parametrize(("version", "age"), [(FORMAT + 1, "a newer"), (0, "an older")])
def test_another_format_is_refused_in_words(
    folder: MemoryFolder,
    reopened: Reopen,
    monkeypatch: pytest.MonkeyPatch,
    version: int,
    age: str,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("coordinator.storage.layout.FORMAT", version)
        reopened().load()
    with pytest.raises(StorageError, match=f"by {age} version") as refusal:
        reopened().load()
    assert not isinstance(refusal.value, StorageDamaged)
