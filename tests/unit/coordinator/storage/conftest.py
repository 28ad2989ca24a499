"""Entries and logs for the tests of the durable log."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from coordinator.consensus.entry import Entry
from coordinator.storage.memory import MemoryFolder
from coordinator.storage.segments import SegmentedLog

MakeEntries = Callable[..., list[Entry]]


@pytest.fixture
def folder() -> MemoryFolder:
    return MemoryFolder()


@pytest.fixture
def reopened(folder: MemoryFolder) -> Callable[[], SegmentedLog]:
    """Opens the folder once more, as a restarted process would, with small segments."""
    return lambda: SegmentedLog(folder, segment_bytes=400)


@pytest.fixture
def entries() -> MakeEntries:
    """Entries from one index to another, both included."""

    def make(first: int, last: int, term: int = 1) -> list[Entry]:
        return [Entry(i, term, "command", f"{term}-{i}".encode()) for i in range(first, last + 1)]

    return make
