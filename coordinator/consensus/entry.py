"""The vocabulary of the replicated log: what is agreed on, and what must be on disk for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from mesh.ids import NodeId

EntryKind = Literal["command", "members", "empty"]
"""`empty`: the entry by which a new leader commits what its predecessors left."""

MAX_COMMAND = 256 * 1024
"""Bytes of one command."""
MAX_VOTERS = 5


@dataclass(frozen=True, slots=True)
class Entry:
    """One place in the log. `data` is opaque to everything but the state machine."""

    index: int
    """Counts from 1, without gaps."""
    term: int
    kind: EntryKind
    data: bytes


@dataclass(frozen=True, slots=True)
class HardState:
    """What a voter must never forget, or it could vote twice in one term."""

    term: int = 0
    vote: NodeId | None = None


@dataclass(frozen=True, slots=True)
class Members:
    """Who takes part. Voters decide; standbys receive everything and can be made voters."""

    voters: tuple[NodeId, ...] = ()
    standbys: tuple[NodeId, ...] = ()


@dataclass(frozen=True, slots=True)
class SnapshotMark:
    """The log up to and with `index` is contained in a snapshot of the state machine."""

    index: int = 0
    term: int = 0
    members: Members = Members()


@dataclass(frozen=True, slots=True)
class Stored:
    """What a disk gave back at start."""

    hard: HardState
    mark: SnapshotMark
    entries: tuple[Entry, ...]
    """Those after `mark.index`, in order and whole."""


class LogStore(Protocol):
    """The durable log. What a call has returned from survives power loss."""

    def load(self) -> Stored:
        """What is on disk. Raises StorageError when that is damaged other than by a torn end."""
        ...

    async def save(self, hard: HardState | None, entries: Sequence[Entry]) -> None:
        """Write and fsync. `entries` replace everything stored from their first index on."""
        ...

    async def compact(self, mark: SnapshotMark) -> None:
        """Forget entries up to and with `mark.index`; a mark past the end empties it."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """The group as one member sees it now."""

    leader: NodeId | None
    """None when there is none, or when this member has lost touch with a majority."""
    term: int
    members: Members
    commit: int
    applied: int
    lag: Mapping[NodeId, int]
    """Entries each other member is behind; known to the leader only."""


class ReplicatedLog(Protocol):
    """Commands in, the same order out at every member. Survives any minority, and power loss."""

    async def propose(self, command: bytes, *, timeout: float) -> object:
        """What applying the command here or at the leader gave, once a majority has it on disk.

        Raises NoQuorum when nobody could take it: it was not, and will not be, applied. Raises
        TimeoutError when its fate is unknown; repeat it with the same command id.
        """
        ...

    async def read_barrier(self, *, timeout: float) -> int:
        """An index at or after everything acknowledged before the call; applied here on return.

        Raises NoQuorum or TimeoutError.
        """
        ...

    def status(self) -> GroupStatus: ...
