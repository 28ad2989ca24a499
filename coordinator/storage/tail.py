"""What a log means: records in order leave a term, a vote, a mark and entries. Pure."""

from __future__ import annotations

from coordinator.consensus.entry import Entry, HardState, SnapshotMark, Stored
from coordinator.storage.record import Forgotten, Lost, Remembered


class Tail:
    """The log after the last compaction. It holds the entries themselves, not copies."""

    def __init__(self) -> None:
        self.hard = HardState()
        self.lost = 0
        self.mark = SnapshotMark()
        self.entries: list[Entry] = []

    @property
    def last(self) -> int:
        """Index of the last entry, or of the mark when there is none after it."""
        return self.entries[-1].index if self.entries else self.mark.index

    def remember(self, item: Remembered) -> None:
        """Apply one record. Raises ValueError for an entry out of order."""
        if isinstance(item, HardState):
            self.hard = item
        elif isinstance(item, Lost):
            self.lost = item.number
        elif isinstance(item, Entry):
            self._append(item)
        else:
            self._forget(item)

    def forgetting(self, mark: SnapshotMark) -> Forgotten:
        """The record that compacts up to `mark`.

        A snapshot that the log does not reach, or whose term it contradicts, replaces all of it:
        entries after a wrong one are wrong too (Raft, figure 13, step 6 and 7).
        """
        place = mark.index - self.mark.index - 1
        fits = 0 <= place < len(self.entries) and self.entries[place].term == mark.term
        return Forgotten(mark, emptied=not fits)

    def stored(self) -> Stored:
        """What a member is given at start. Raises ValueError when entries are missing."""
        if self.entries and self.entries[0].index != self.mark.index + 1:
            raise ValueError(f"entries after {self.mark.index} are missing")
        return Stored(self.hard, self.mark, tuple(self.entries))

    def _append(self, entry: Entry) -> None:
        if entry.index <= self.mark.index:
            raise ValueError(f"entry {entry.index} is at or before the mark {self.mark.index}")
        if self.entries:
            # The first segments may be gone: their entries, too, can be overwritten.
            if entry.index > self.last + 1:
                raise ValueError(f"entry {entry.index} follows {self.last}")
            del self.entries[max(0, entry.index - self.entries[0].index) :]
        self.entries.append(entry)

    def _forget(self, item: Forgotten) -> None:
        if item.mark.index < self.mark.index:
            raise ValueError(f"mark {item.mark.index} follows {self.mark.index}")
        self.mark = item.mark
        if item.emptied:
            self.entries.clear()
        elif self.entries:
            del self.entries[: max(0, item.mark.index + 1 - self.entries[0].index)]
