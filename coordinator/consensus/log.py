"""The log in memory: entries after a mark, and the lists of members among them."""

from __future__ import annotations

from collections.abc import Iterable

from coordinator.consensus.entry import Entry, Members, SnapshotMark, Stored
from mesh.wire.consensus import unpack_members


class Log:
    """Entries after `mark`, without gaps. Knows which of them were not handed to the disk yet."""

    def __init__(self, stored: Stored) -> None:
        self.mark = stored.mark
        self._entries: list[Entry] = []
        self._lists: list[tuple[int, Members]] = []
        for entry in stored.entries:
            self._append(entry)
        self.unsaved = self.last + 1
        """The first index that was not handed to the disk."""

    @property
    def last(self) -> int:
        """Index of the last entry, or of the mark when there is none after it."""
        return self.mark.index + len(self._entries)

    @property
    def last_term(self) -> int:
        """Term of the last entry, or of the mark."""
        return self._entries[-1].term if self._entries else self.mark.term

    @property
    def members(self) -> Members:
        """The latest list, committed or not: Raft acts on it at once (thesis, 4.1)."""
        return self._lists[-1][1] if self._lists else self.mark.members

    @property
    def members_index(self) -> int:
        """Where the latest list stands."""
        return self._lists[-1][0] if self._lists else self.mark.index

    def members_at(self, index: int) -> Members:
        """The list in force at `index`, which is not before the mark."""
        found = self.mark.members
        for place, members in self._lists:
            if place <= index:
                found = members
        return found

    def term_at(self, index: int) -> int | None:
        """None where the log does not reach, or no longer does."""
        place = index - self.mark.index
        if place == 0:
            return self.mark.term
        if 0 < place <= len(self._entries):
            return self._entries[place - 1].term
        return None

    def read(self, first: int, *, most: int, most_bytes: int) -> tuple[Entry, ...]:
        """Entries from `first`, at least one if there is one. `first` lies after the mark."""
        start = first - self.mark.index - 1
        found = self._entries[start : start + most]
        total = 0
        for count, entry in enumerate(found):
            total += len(entry.data)
            if total > most_bytes and count:
                return tuple(found[:count])
        return tuple(found)

    def count_bytes(self, after: int, until: int) -> int:
        """Bytes of commands after one index, up to and with another."""
        start, end = after - self.mark.index, until - self.mark.index
        return sum(len(entry.data) for entry in self._entries[max(0, start) : end])

    def append(self, entry: Entry) -> None:
        """Add an entry at the end."""
        self._append(entry)

    def replace(self, entries: Iterable[Entry]) -> None:
        """Put entries that follow each other into their place; what followed there is dropped."""
        for entry in entries:
            if entry.index <= self.last:
                self._truncate(entry.index)
            self._append(entry)

    def take_unsaved(self) -> tuple[Entry, ...]:
        """What the disk must get now; it counts as handed over."""
        first = self.unsaved
        if first > self.last:
            return ()
        self.unsaved = self.last + 1
        return tuple(self._entries[first - self.mark.index - 1 :])

    def agreed(self, index: int, term: int) -> int:
        """The last index, at most `index`, whose term is at most `term`: a guess to go back to."""
        index = min(index, self.last)
        while index > self.mark.index and (self.term_at(index) or 0) > term:
            index -= 1
        return index

    def mark_at(self, index: int) -> SnapshotMark:
        """The mark of a snapshot that contains everything up to `index`."""
        term = self.term_at(index)
        if term is None:
            raise ValueError(f"the log reaches from {self.mark.index} to {self.last}, not {index}")
        return SnapshotMark(index, term, self.members_at(index))

    def compact(self, index: int) -> SnapshotMark:
        """Forget entries up to and with `index`."""
        mark = self.mark_at(index)
        del self._entries[: index - self.mark.index]
        self._lists = [item for item in self._lists if item[0] > index]
        self.mark = mark
        self.unsaved = max(self.unsaved, index + 1)
        return mark

    def reset(self, mark: SnapshotMark) -> None:
        """Begin anew after a snapshot."""
        self.mark = mark
        self._entries.clear()
        self._lists.clear()
        self.unsaved = mark.index + 1

    def _append(self, entry: Entry) -> None:
        if entry.index != self.last + 1:
            raise ValueError(f"entry {entry.index} cannot follow {self.last}")
        self._entries.append(entry)
        if entry.kind == "members":
            self._lists.append((entry.index, unpack_members(entry.data)))

    def _truncate(self, first: int) -> None:
        del self._entries[first - self.mark.index - 1 :]
        while self._lists and self._lists[-1][0] >= first:
            self._lists.pop()
        self.unsaved = min(self.unsaved, first)
