"""A disk that keeps what was synced, and of what was not only a beginning."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from coordinator.consensus.entry import Entry, HardState, SnapshotMark, Stored
from coordinator.consensus.ready import Ready


@dataclass
class SimulatedDisk:
    """What survives a crash of one member: its log, and its state machine as last written."""

    hard: HardState = field(default_factory=HardState)
    lost: int = 0
    mark: SnapshotMark = field(default_factory=SnapshotMark)
    entries: list[Entry] = field(default_factory=list)
    machine: bytes = b""
    """The packed state machine; empty before its first checkpoint."""
    forgets_votes: bool = False

    def save(self, ready: Ready) -> None:
        """All of it."""
        self._write(ready, len(ready.entries))

    def tear(self, ready: Ready, rng: Random) -> None:
        """A crash while it was written: a beginning of it, or nothing."""
        if rng.random() < 0.5:
            self._write(ready, rng.randint(0, len(ready.entries)))

    def _write(self, ready: Ready, count: int) -> None:
        if ready.hard is not None:
            vote = None if self.forgets_votes else ready.hard.vote
            self.hard = HardState(ready.hard.term, vote)
        if ready.lost is not None:
            self.lost = ready.lost
        if count:
            del self.entries[max(0, ready.entries[0].index - self.mark.index - 1) :]
            self.entries += ready.entries[:count]

    def compact(self, mark: SnapshotMark, machine: bytes) -> None:
        """As `LogStore.compact`, after the state machine was written."""
        self.machine = machine
        place = mark.index - self.mark.index - 1
        if place < 0:
            return
        if place < len(self.entries) and self.entries[place].term == mark.term:
            del self.entries[: place + 1]
        else:
            self.entries.clear()
        self.mark = mark

    def load(self) -> Stored:
        """What a restarted member finds."""
        return Stored(self.hard, self.mark, tuple(self.entries))
