"""Consensus messages as bytes: round trips, bounds, and whatever a peer may send instead."""

from __future__ import annotations

from random import Random
from typing import Any

import msgpack
import pytest

from mesh.consensus import MAX_COMMAND, MAX_VOTERS, Entry, Members, SnapshotMark
from mesh.errors import WireError
from mesh.wire.consensus import (
    MAX_BATCH,
    MAX_BATCH_ENTRIES,
    MAX_CHUNK,
    MAX_CONSENSUS_MESSAGE,
    Append,
    Appended,
    ChunkAnswer,
    ConsensusMessage,
    SnapshotChunk,
    TimeoutNow,
    VoteAnswer,
    VoteRequest,
    decode,
    encode,
    pack_members,
    unpack_members,
)
from tests.unit.coordinator.consensus.cores import node

MEMBERS = Members((node(1), node(2)), (node(3),))
ENTRIES = (
    Entry(8, 3, "command", b"\x00\xff"),
    Entry(9, 3, "members", pack_members(MEMBERS)),
    Entry(10, 4, "empty", b""),
)
MESSAGES: list[ConsensusMessage] = [
    VoteRequest(4, 7, 3, pre=True),
    VoteRequest(4, 7, 3, forced=True),
    VoteAnswer(4, True, pre=True),
    Append(4, 7, 3, 6, 12, ENTRIES, 5, regressed=True),
    Append(4, 0, 0, 0, 0),
    Appended(4, False, 7, 5, 2, 12, 9, 2**62),
    SnapshotChunk(4, SnapshotMark(7, 3, MEMBERS), b"d" * 32, 512, b"data", True),
    ChunkAnswer(4, 7, 512, refused=True, lost=3),
    TimeoutNow(4),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_comes_back_as_it_was(message: ConsensusMessage) -> None:
    assert decode(encode(message)) == message


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_what_a_later_version_adds_is_ignored(message: ConsensusMessage) -> None:
    parts = msgpack.unpackb(encode(message))
    assert decode(msgpack.packb([*parts, "new"])) == message


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_that_is_cut_short_is_refused(message: ConsensusMessage) -> None:
    parts = msgpack.unpackb(encode(message))
    for length in range(len(parts)):
        with pytest.raises(WireError):
            decode(msgpack.packb(parts[:length]))


def test_whatever_comes_is_a_message_or_refused() -> None:
    rng = Random(5)
    odd: list[Any] = [None, -1, 2**64 - 1, "", b"", [], {}, True, 1.5, [[]], [[1, 9, b""]], 2**63]
    refused = 0
    for _ in range(5000):
        parts = msgpack.unpackb(encode(rng.choice(MESSAGES)))
        parts[rng.randrange(len(parts))] = rng.choice(odd)
        try:
            decode(msgpack.packb(parts))
        except WireError:
            refused += 1
    assert 1000 < refused < 5000


def test_bytes_that_were_flipped_raise_nothing_else() -> None:
    rng = Random(6)
    for _ in range(5000):
        data = bytearray(encode(rng.choice(MESSAGES)))
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        try:
            decode(bytes(data))
        except WireError:
            continue


def test_the_largest_messages_fit() -> None:
    one = Entry(1, 1, "command", bytes(MAX_COMMAND))
    assert decode(encode(Append(1, 0, 0, 0, 0, (one, Entry(2, 1, "command", bytes(MAX_COMMAND))))))
    each = bytes(MAX_BATCH // MAX_BATCH_ENTRIES)
    many = tuple(
        Entry(i, 2**62, "command", each) for i in range(2**62 + 1, 2**62 + MAX_BATCH_ENTRIES + 1)
    )
    assert decode(encode(Append(2**62, 2**62, 2**62, 0, 0, many)))
    mark = SnapshotMark(1, 1, Members(tuple(node(n) for n in range(5))))
    assert decode(encode(SnapshotChunk(1, mark, bytes(32), 0, bytes(MAX_CHUNK), False)))


@pytest.mark.parametrize(
    "message",
    [
        Append(1, 0, 0, 0, 0, (Entry(1, 1, "command", bytes(MAX_COMMAND + 1)),)),
        Append(1, 0, 0, 0, 0, tuple(Entry(i, 1, "empty", b"") for i in range(1, 258))),
        Append(1, 0, 0, 0, 0, (Entry(1, 2, "empty", b""),)),
        Append(3, 1, 2, 0, 0, (Entry(2, 1, "empty", b""),)),
        Append(1, 0, 0, 0, 0, (Entry(1, 1, "members", b"nonsense"),)),
        SnapshotChunk(1, SnapshotMark(), b"", 0, bytes(MAX_CHUNK + 1), False),
        SnapshotChunk(1, SnapshotMark(5, 2), b"", 0, b"", False),
        SnapshotChunk(1, SnapshotMark(), bytes(33), 0, b"", False),
    ],
)
def test_what_breaks_a_bound_is_refused(message: ConsensusMessage) -> None:
    with pytest.raises(WireError):
        decode(encode(message))


def test_too_large_a_message_is_not_even_made() -> None:
    entries = tuple(Entry(i, 1, "command", bytes(MAX_COMMAND)) for i in range(1, 5))
    with pytest.raises(WireError):
        encode(Append(1, 0, 0, 0, 0, entries))
    with pytest.raises(WireError):
        decode(bytes(MAX_CONSENSUS_MESSAGE + 1))


@pytest.mark.parametrize(
    "members",
    [
        Members((node(1), node(1))),
        Members((node(1),), (node(1),)),
        Members(tuple(node(number) for number in range(MAX_VOTERS + 1))),
        Members((), tuple(node(number) for number in range(33))),
    ],
)
def test_lists_of_members_are_checked(members: Members) -> None:
    with pytest.raises(WireError):
        unpack_members(pack_members(members))
