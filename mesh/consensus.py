"""What coordinators agree on: entries of one log, and who takes part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mesh.ids import NodeId

EntryKind = Literal["command", "members", "empty"]
"""`empty`: the entry by which a new leader commits what its predecessors left."""

MAX_COMMAND = 256 * 1024
"""Bytes of one command."""
MAX_VOTERS = 5
MAX_STANDBYS = 32
"""Standbys of one group: each costs the leader a copy of all traffic."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One place in the log. `data` is opaque to everything but the state machine."""

    index: int
    """Counts from 1, without gaps."""
    term: int
    kind: EntryKind
    data: bytes


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
class GroupReport:
    """The group of coordinators as one of its members sees it, for people."""

    group: str
    """Drawn when the group was founded."""
    reporter: NodeId
    leader: NodeId | None
    """None: there is none, or the reporter has lost touch with a majority."""
    term: int
    members: Members = Members()
    commit: int = 0
    applied: int = 0
    lag: Mapping[NodeId, int] = field(default_factory=dict)
    """Entries each other member is behind; empty unless the leader reports."""
    silent: tuple[NodeId, ...] = ()
    """Members that the leader does not hear."""
