"""What a member wants done, and what became of what was asked of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from coordinator.consensus.entry import Entry, HardState, SnapshotMark
from mesh.ids import NodeId
from mesh.wire.consensus import ConsensusMessage

Outgoing = tuple[NodeId, ConsensusMessage]
Outcome = Literal["applied", "superseded", "unknown"]
"""`superseded`: it is not in the log and never will be. `unknown`: a snapshot jumped over it."""


@dataclass(frozen=True, slots=True)
class Position:
    """Names a proposal: where it stands in the log if it makes it."""

    index: int
    term: int


@dataclass(frozen=True, slots=True)
class Fate:
    """How a proposal of this member ended."""

    position: Position
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class ReadResult:
    """A read may be answered once `index` is applied. None: this member lost the lead."""

    read: int
    index: int | None


@dataclass(frozen=True, slots=True)
class PeerSight:
    """What the leader knows of another member."""

    silence: float
    """Seconds since it was last heard."""
    behind: int
    """Entries."""
    counts: bool
    """False while it must not be counted because it lost what it had stored."""


@dataclass(frozen=True, slots=True)
class ChunkNeeded:
    """Bytes of a snapshot to hand to `Raft.send_chunk`. Without a mark: take a fresh snapshot."""

    to: NodeId
    mark: SnapshotMark | None
    offset: int


@dataclass(frozen=True, slots=True)
class ChunkReceived:
    """Bytes to write at `offset` (0: a new file). `done`: check the digest, install, then say so.

    Say so with `Raft.installed`, or with `Raft.refuse_snapshot` where the digest is wrong.
    """

    sender: NodeId
    mark: SnapshotMark
    digest: bytes
    offset: int
    data: bytes
    done: bool


@dataclass(frozen=True, slots=True)
class Ready:
    """One round of work. In this order:

    1. send `at_once`, which may go while the disk writes;
    2. make `hard`, `lost` and `entries` durable together, and write what was `received`;
    3. call `Raft.saved`, then send `messages`;
    4. apply `committed`, tell `fates` and `reads`, read the chunks that are `needed`.
    """

    hard: HardState | None
    lost: int | None
    """Not None: remember that this member must not be counted; 0: that it may again."""
    entries: tuple[Entry, ...]
    at_once: tuple[Outgoing, ...]
    messages: tuple[Outgoing, ...]
    committed: tuple[Entry, ...]
    fates: tuple[Fate, ...]
    reads: tuple[ReadResult, ...]
    needed: tuple[ChunkNeeded, ...]
    received: tuple[ChunkReceived, ...]

    @property
    def is_empty(self) -> bool:
        """Nothing is to be done."""
        return self == NOTHING


NOTHING = Ready(None, None, (), (), (), (), (), (), (), ())
