"""All that one member knows, and the few changes of it that every part of the protocol makes."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from coordinator.consensus.entry import HardState, SnapshotMark
from coordinator.consensus.log import Log
from coordinator.consensus.parameters import MAX_OUTBOX, Parameters
from coordinator.consensus.ready import (
    ChunkNeeded,
    ChunkReceived,
    Fate,
    Outgoing,
    Position,
    ReadResult,
)
from mesh.ids import NodeId
from mesh.wire.consensus import ConsensusMessage

Role = Literal["follower", "pre-candidate", "candidate", "leader"]
NEVER = float("-inf")


@dataclass(slots=True)
class Sending:
    """A snapshot on its way to a member. Without a mark the snapshot is still to be taken."""

    mark: SnapshotMark | None = None
    offset: int = 0
    ask_at: float = NEVER


@dataclass(slots=True)
class Receiving:
    """A snapshot on its way from the leader. A different one starts at 0."""

    sender: NodeId
    mark: SnapshotMark
    digest: bytes
    offset: int = 0
    done: bool = False


@dataclass(slots=True)
class Peer:
    """What a leader knows of another member."""

    next: int
    """The next entry to send."""
    heard: float = NEVER
    match: int = 0
    """Known to be on its disk."""
    round: int = 0
    """The latest round it answered."""
    probing: bool = True
    """One Append at a time until the logs agree; later many are on their way."""
    waiting: bool = False
    """A probe is on its way."""
    in_flight: deque[int] = field(default_factory=deque)
    due: bool = True
    """It shall get an Append now, an empty one if need be."""
    commit_sent: int = 0
    lost: int = 0
    """Not 0: it lost what it had stored and counts for nothing."""
    match_round: int = 0
    """The leader's round when `match` was learnt."""
    regressed: bool = False
    """It has less than it once acknowledged."""
    sending: Sending | None = None

    @property
    def counts(self) -> bool:
        """Whether its word may be part of a majority."""
        return not self.lost and not self.regressed


@dataclass(slots=True)
class State:
    """One member of the group. Only the modules of this folder change it."""

    node: NodeId
    parameters: Parameters
    rng: Random
    log: Log
    term: int
    vote: NodeId | None
    lost: int
    """Not 0: this member lost what it had stored; it neither votes nor counts."""
    commit: int
    handed: int
    """Up to here committed entries were handed out to be applied."""
    stable: int
    """Up to here the disk has the log."""
    handed_hard: HardState
    handed_lost: int
    election_at: float = 0.0
    heartbeat_at: float = 0.0
    role: Role = "follower"
    leader: NodeId | None = None
    heard_leader: float = NEVER
    granted: set[NodeId] = field(default_factory=set)
    refused: set[NodeId] = field(default_factory=set)
    peers: dict[NodeId, Peer] = field(default_factory=dict)
    term_start: int = 0
    """The index of the entry by which this leader began."""
    uncommitted_bytes: int = 0
    round: int = 0
    reads: deque[tuple[int, int, int]] = field(default_factory=deque)
    """(number, round to wait for, index) in rising order."""
    next_read: int = 1
    successor: NodeId | None = None
    successor_until: float = 0.0
    receiving: Receiving | None = None
    proposals: dict[int, list[int]] = field(default_factory=dict)
    """Index to terms of own proposals whose fate is open."""
    outbox: list[Outgoing] = field(default_factory=list)
    fates: list[Fate] = field(default_factory=list)
    results: list[ReadResult] = field(default_factory=list)
    needed: list[ChunkNeeded] = field(default_factory=list)
    received: list[ChunkReceived] = field(default_factory=list)

    @property
    def voters(self) -> tuple[NodeId, ...]:
        """By the latest list in the log."""
        return self.log.members.voters

    @property
    def may_stand(self) -> bool:
        """Whether this member may try to lead: a voter that remembers what it promised.

        One that is being removed is still needed until that is committed (thesis 4.2.2): perhaps
        only it has the list without it.
        """
        if self.lost:
            return False
        if self.node in self.voters:
            return True
        changed_at = self.log.members_index
        return changed_at > self.commit and self.node in self.log.members_at(changed_at - 1).voters

    def majority(self, values: dict[NodeId, int], own: int) -> int:
        """The highest number that a majority of voters has reached; `own` is this member's.

        0 where nobody votes. Members that lost their state, or were never heard, have 0.
        """
        reached = sorted(
            own if voter == self.node else values.get(voter, 0) for voter in self.voters
        )
        return reached[(len(reached) - 1) // 2] if reached else 0


def send(state: State, to: NodeId, message: ConsensusMessage) -> None:
    """Put a message into the outbox; it leaves after the next save."""
    if len(state.outbox) < MAX_OUTBOX:
        state.outbox.append((to, message))


def draw_election(state: State, now: float) -> None:
    """Set the time-out anew."""
    times = state.parameters
    state.election_at = now + state.rng.uniform(times.election_min, times.election_max)


def become_follower(state: State, term: int, leader: NodeId | None, now: float) -> None:
    """Follow `leader`, or nobody yet, in `term`, which is not before the present one."""
    if term > state.term:
        state.term, state.vote = term, None
    if state.role == "leader":
        state.results += [ReadResult(number, None) for number, _, _ in state.reads]
        state.reads.clear()
        state.peers.clear()
        state.successor = None
    state.role, state.leader = "follower", leader
    draw_election(state, now)


def settle(state: State, index: int, term: int) -> None:
    """Tell the fate of own proposals at an index that is committed with `term`."""
    for proposed in state.proposals.pop(index, ()):
        outcome: Literal["applied", "superseded"]
        outcome = "applied" if proposed == term else "superseded"
        state.fates.append(Fate(Position(index, proposed), outcome))
