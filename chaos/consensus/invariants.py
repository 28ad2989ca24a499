"""What must hold after every event, whatever happened (Raft, figure 3)."""

from __future__ import annotations

from dataclasses import dataclass

from coordinator.consensus.entry import Entry
from coordinator.consensus.raft import Raft
from coordinator.consensus.ready import Ready
from mesh.ids import NodeId


class Violated(AssertionError):
    """A promise was broken."""


@dataclass(slots=True)
class _Seen:
    """A member as it was after its last event."""

    epoch: int = -1
    commit: int = 0
    term: int = 0
    led: int = 0
    """The term in which it was seen leading, and the end of its log then."""
    last: int = 0


class Invariants:
    """Looks over all members' shoulders; costs little where nothing changed."""

    def __init__(self) -> None:
        self.leaders: dict[int, NodeId] = {}
        self.committed: dict[int, Entry] = {}
        self.highest = 0
        self._committed_in: dict[int, int] = {}
        """The term of the leader that committed it."""
        self._written: dict[tuple[int, int], tuple[bytes, int]] = {}
        self._handed: dict[int, tuple[int, bytes]] = {}
        self._seen: dict[NodeId, _Seen] = {}

    def observe(self, node: NodeId, epoch: int, raft: Raft, ready: Ready | None) -> None:
        """Raises Violated."""
        if ready is not None:
            self._check_matching(raft, ready.entries)
            self._check_applied(ready.committed)
        state = raft._state
        seen = self._seen.setdefault(node, _Seen())
        if seen.epoch != epoch:
            seen.epoch, seen.commit, seen.led = epoch, state.log.mark.index, 0
        elif state.term < seen.term:
            raise Violated(f"{node[-2:]} went back from term {seen.term} to {state.term}")
        seen.term = state.term
        if state.role == "leader":
            self._check_leader(node, raft, seen)
        if state.commit > seen.commit:
            self._note_commit(raft, seen)

    def _check_leader(self, node: NodeId, raft: Raft, seen: _Seen) -> None:
        state = raft._state
        if self.leaders.setdefault(state.term, node) != node:
            raise Violated(f"election safety: two leaders in term {state.term}")
        if seen.led != state.term:
            self._check_completeness(raft)
            seen.led = state.term
        elif state.log.last < seen.last:
            raise Violated("leader append-only: a leader dropped entries")
        seen.last = state.log.last

    def _check_completeness(self, raft: Raft) -> None:
        log = raft._state.log
        for index in range(log.mark.index + 1, self.highest + 1):
            earlier = self._committed_in[index] < raft._state.term
            if earlier and log.term_at(index) != self.committed[index].term:
                raise Violated(f"leader completeness: entry {index} is missing in a new leader")

    def _note_commit(self, raft: Raft, seen: _Seen) -> None:
        log = raft._state.log
        first = max(seen.commit, log.mark.index) + 1
        for index in range(first, raft._state.commit + 1):
            (entry,) = log.read(index, most=1, most_bytes=0)
            if self.committed.setdefault(index, entry) != entry:
                raise Violated(f"state machine safety: two entries committed at {index}")
            self._committed_in.setdefault(index, raft._state.term)
            self.highest = max(self.highest, index)
        seen.commit = raft._state.commit

    def _check_matching(self, raft: Raft, entries: tuple[Entry, ...]) -> None:
        for entry in entries:
            before = raft._state.log.term_at(entry.index - 1)
            if before is None:
                continue
            value = (entry.data, before)
            if self._written.setdefault((entry.index, entry.term), value) != value:
                raise Violated(f"log matching: two entries {entry.index} of term {entry.term}")

    def _check_applied(self, entries: tuple[Entry, ...]) -> None:
        for entry in entries:
            value = (entry.term, entry.data)
            if self._handed.setdefault(entry.index, value) != value:
                raise Violated(f"state machine safety: two entries applied at {entry.index}")
