"""The vocabulary of the replicated log: what is agreed on, and what must be on disk for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from mesh.consensus import (
    MAX_COMMAND,
    MAX_STANDBYS,
    MAX_VOTERS,
    Entry,
    EntryKind,
    Members,
    SnapshotMark,
)
from mesh.ids import NodeId

__all__ = [
    "MAX_COMMAND",
    "MAX_STANDBYS",
    "MAX_VOTERS",
    "Entry",
    "EntryKind",
    "GroupStatus",
    "HardState",
    "LogStore",
    "Members",
    "ReplicatedLog",
    "SnapshotMark",
    "Stored",
]


@dataclass(frozen=True, slots=True)
class HardState:
    """What a voter must never forget, or it could vote twice in one term."""

    term: int = 0
    vote: NodeId | None = None


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
