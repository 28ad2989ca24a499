"""Messages between members of the consensus group, each a msgpack array on a CONSENSUS stream.

The first item is the message's number, the second the sender's term; items a reader does not know
are ignored. Names follow "In search of an understandable consensus algorithm" (Ongaro and
Ousterhout 2014) and Ongaro's thesis (2014) for pre-vote, read index and leadership transfer.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from mesh.consensus import (
    MAX_COMMAND,
    MAX_STANDBYS,
    MAX_VOTERS,
    Entry,
    EntryKind,
    Members,
    SnapshotMark,
)
from mesh.errors import WireError
from mesh.ids import NodeId
from mesh.wire import fields

VOTE_REQUEST, VOTE_ANSWER, APPEND, APPENDED, CHUNK, CHUNK_ANSWER, TIMEOUT_NOW = 1, 2, 3, 4, 5, 6, 7
"""Message numbers. Retired: none."""

MAX_BATCH = 512 * 1024
"""Bytes of commands in one Append; a single command always fits."""
MAX_BATCH_ENTRIES = 256
MAX_CHUNK = 256 * 1024
"""Bytes of a snapshot in one message."""
MAX_SNAPSHOT = 1 << 40
MAX_DIGEST = 32
MAX_CONSENSUS_MESSAGE = MAX_BATCH + 64 * 1024
"""Bytes of one message: the largest batch, and room for what stands around it."""
MAX_MEMBERS_DATA = 2048
"""Bytes of a packed list of members."""

_KIND_CODES: dict[EntryKind, int] = {"command": 1, "members": 2, "empty": 3}
_KINDS: dict[int, EntryKind] = {code: kind for kind, code in _KIND_CODES.items()}


@dataclass(frozen=True, slots=True)
class VoteRequest:
    """Asks for a vote. `pre`: only whether it would be given; nothing is promised by asking.

    `forced`: the old leader wants this, so that a living leader is no reason to refuse.
    """

    term: int
    last_index: int
    last_term: int
    pre: bool = False
    forced: bool = False


@dataclass(frozen=True, slots=True)
class VoteAnswer:
    term: int
    granted: bool
    pre: bool = False


@dataclass(frozen=True, slots=True)
class Append:
    """Entries after (`prev_index`, `prev_term`); without entries a heartbeat and a probe.

    `round` is echoed: it proves that the sender still led when a read was asked for. `readmit`
    echoes the receiver's `lost` once it may be counted again; `regressed` tells the receiver that
    it has less than it once acknowledged.
    """

    term: int
    prev_index: int
    prev_term: int
    commit: int
    round: int
    entries: tuple[Entry, ...] = ()
    readmit: int = 0
    regressed: bool = False


@dataclass(frozen=True, slots=True)
class Appended:
    """`ok`: the log agrees up to `index`. Else it may agree up to (`index`, `index_term`).

    `prev_index` and `round` echo the Append; `last` is the end of the sender's log; `lost` is not
    0 while the sender must not be counted because it lost what it had stored.
    """

    term: int
    ok: bool
    prev_index: int
    index: int
    index_term: int
    round: int
    last: int
    lost: int = 0


@dataclass(frozen=True, slots=True)
class SnapshotChunk:
    """Bytes of a snapshot from `offset`. `digest` names the whole, so that two are never mixed."""

    term: int
    mark: SnapshotMark
    digest: bytes
    offset: int
    data: bytes
    done: bool


@dataclass(frozen=True, slots=True)
class ChunkAnswer:
    """The receiver has the snapshot at `index` up to `offset` and wants what follows.

    `refused`: what came is not what its digest says; it starts again.
    """

    term: int
    index: int
    offset: int
    refused: bool = False
    lost: int = 0


@dataclass(frozen=True, slots=True)
class TimeoutNow:
    """The leader asks a voter that has the whole log to stand for election at once."""

    term: int


ConsensusMessage = (
    VoteRequest | VoteAnswer | Append | Appended | SnapshotChunk | ChunkAnswer | TimeoutNow
)


def encode(message: ConsensusMessage) -> bytes:
    """Encode a message. Raises WireError when it is larger than MAX_CONSENSUS_MESSAGE."""
    data = fields.pack(_parts(message))
    if len(data) > MAX_CONSENSUS_MESSAGE:
        raise WireError(f"a consensus message of {len(data)} bytes is too large")
    return data


def _parts(message: ConsensusMessage) -> list[Any]:
    match message:
        case VoteRequest(term, last_index, last_term, pre, forced):
            return [VOTE_REQUEST, term, last_index, last_term, pre, forced]
        case VoteAnswer(term, granted, pre):
            return [VOTE_ANSWER, term, granted, pre]
        case Append(term, index, prev_term, commit, number, entries, readmit, regressed):
            rows = [[entry.term, _KIND_CODES[entry.kind], entry.data] for entry in entries]
            return [APPEND, term, index, prev_term, commit, number, rows, readmit, regressed]
        case Appended(term, ok, prev, index, index_term, number, last, lost):
            return [APPENDED, term, ok, prev, index, index_term, number, last, lost]
        case SnapshotChunk(term, mark, digest, offset, data, done):
            members = pack_members(mark.members)
            return [CHUNK, term, mark.index, mark.term, members, digest, offset, data, done]
        case ChunkAnswer(term, index, offset, refused, lost):
            return [CHUNK_ANSWER, term, index, offset, refused, lost]
        case TimeoutNow(term):
            return [TIMEOUT_NOW, term]


def decode(data: bytes) -> ConsensusMessage:
    """Raises WireError on anything that is not a well-formed message."""
    parts = fields.unpack(data, most=MAX_CONSENSUS_MESSAGE)
    if len(parts) < 2:
        raise WireError("a consensus message is too short")
    number, term = fields.whole(parts[0]), fields.whole(parts[1])
    try:
        return _message(number, term, parts)
    except IndexError:
        raise WireError("a consensus message is too short") from None


def _message(number: int, term: int, parts: list[Any]) -> ConsensusMessage:
    whole = fields.whole
    match number:
        case 1:
            pre, forced = _flag(parts[4]), _flag(parts[5])
            return VoteRequest(term, whole(parts[2]), whole(parts[3]), pre, forced)
        case 2:
            return VoteAnswer(term, _flag(parts[2]), _flag(parts[3]))
        case 3:
            return _append(term, parts)
        case 4:
            numbers = [whole(part) for part in parts[3:9]]
            if len(numbers) < 6:
                raise WireError("an Appended is too short")
            return Appended(term, _flag(parts[2]), *numbers)
        case 5:
            return _chunk(term, parts)
        case 6:
            offset = whole(parts[3], most=MAX_SNAPSHOT)
            return ChunkAnswer(term, whole(parts[2]), offset, _flag(parts[4]), whole(parts[5]))
        case 7:
            return TimeoutNow(term)
    raise WireError("an unknown consensus message")


def _append(term: int, parts: list[Any]) -> Append:
    whole = fields.whole
    prev_index = whole(parts[2], most=fields.MAX_COUNTER - MAX_BATCH_ENTRIES)
    rows = fields.listed(parts[6], most=MAX_BATCH_ENTRIES)
    entries = tuple(_entry(prev_index + place, row) for place, row in enumerate(rows, start=1))
    terms = [whole(parts[3]), *(entry.term for entry in entries), term]
    if any(later < earlier for earlier, later in itertools.pairwise(terms)):
        raise WireError("the terms of a log never fall")
    commit, number, readmit = whole(parts[4]), whole(parts[5]), whole(parts[7])
    return Append(term, prev_index, terms[0], commit, number, entries, readmit, _flag(parts[8]))


def _entry(index: int, value: object) -> Entry:
    row = fields.listed(value, most=8)
    kind = _KINDS.get(fields.whole(row[1]))
    if kind is None:
        raise WireError("an unknown kind of entry")
    entry = Entry(index, fields.whole(row[0]), kind, fields.raw(row[2], most=MAX_COMMAND))
    if kind == "members":
        unpack_members(entry.data)
    return entry


def _chunk(term: int, parts: list[Any]) -> SnapshotChunk:
    members = unpack_members(fields.raw(parts[4], most=MAX_MEMBERS_DATA))
    return SnapshotChunk(
        term,
        SnapshotMark(fields.whole(parts[2]), fields.whole(parts[3], most=term), members),
        fields.raw(parts[5], most=MAX_DIGEST),
        fields.whole(parts[6], most=MAX_SNAPSHOT),
        fields.raw(parts[7], most=MAX_CHUNK),
        _flag(parts[8]),
    )


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise WireError("expected true or false")
    return value


def pack_members(members: Members) -> bytes:
    """The data of a `members` entry."""
    lists = (members.voters, members.standbys)
    return fields.pack([[bytes.fromhex(node) for node in nodes] for nodes in lists])


def unpack_members(data: bytes) -> Members:
    """Raises WireError unless every node is listed once and the lists are within bounds."""
    lists = fields.unpack(data, most=MAX_MEMBERS_DATA)
    if len(lists) < 2:
        raise WireError("a list of members is too short")
    members = Members(_nodes(lists[0], most=MAX_VOTERS), _nodes(lists[1], most=MAX_STANDBYS))
    everyone = members.voters + members.standbys
    if len(set(everyone)) < len(everyone):
        raise WireError("a member is listed twice")
    return members


def _nodes(value: object, *, most: int) -> tuple[NodeId, ...]:
    return tuple(fields.node_id(item) for item in fields.listed(value, most=most))
