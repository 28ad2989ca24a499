"""Framed records: how one thing to remember lies in a segment file. Pure.

A record is [length u32][checksum u32][kind u8, index u64, term u64, data], big endian. The checksum
(CRC-32, zlib's) covers the length and the rest and is seeded with the checksum of the record
before, so a record that was moved, repeated or left out is found like a flipped bit.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgpack

from coordinator.consensus.entry import (
    MAX_COMMAND,
    Entry,
    EntryKind,
    HardState,
    Members,
    SnapshotMark,
)
from mesh.errors import WireError
from mesh.ids import NodeId
from mesh.wire import fields

MAX_DATA = MAX_COMMAND + 4096
"""Bytes of one record's data: a command, or a list of members."""
MAX_LISTED = 64
"""Voters, and standbys, that a mark can name."""
_HEAD = struct.Struct(">II")
_BODY = struct.Struct(">BQQ")
HEAD_BYTES: Final = _HEAD.size
_LEAST = _BODY.size
_MOST = _BODY.size + MAX_DATA

_ENTRY_CODES: dict[EntryKind, int] = {"command": 1, "members": 2, "empty": 3}
_ENTRY_OF: dict[int, EntryKind] = {code: kind for kind, code in _ENTRY_CODES.items()}
_HARD = 16
_MARK = 17
_LOST = 18


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Entries up to and with the mark are forgotten; with `emptied`, all that were there."""

    mark: SnapshotMark
    emptied: bool


@dataclass(frozen=True, slots=True)
class Lost:
    """Not 0: this member lost what it had stored, and counts for nothing until it is readmitted."""

    number: int


Remembered = Entry | HardState | Forgotten | Lost


class BadRecord(Exception):
    """From `offset` on the bytes are not the record that belongs there."""

    def __init__(self, offset: int, fault: str) -> None:
        super().__init__(fault)
        self.offset = offset


def encode_record(item: Remembered, seed: int) -> tuple[bytes, int]:
    """The record's bytes and its checksum, the seed of the next. Raises ValueError if too long."""
    kind, index, term, data = _parts(item)
    if len(data) > MAX_DATA:
        raise ValueError(f"a record holds at most {MAX_DATA} bytes, not {len(data)}")
    body = _BODY.pack(kind, index, term) + data
    checksum = _checksum(len(body), body, seed)
    return _HEAD.pack(len(body), checksum) + body, checksum


def scan_records(data: bytes, offset: int, seed: int) -> Iterator[tuple[Remembered, int, int]]:
    """Every record from `offset`, with the offset after it and its checksum.

    Raises BadRecord where something else follows, be it damage or a torn end.
    """
    view = memoryview(data)
    while offset < len(data):
        end = offset + HEAD_BYTES
        if end > len(data):
            raise BadRecord(offset, "a record is cut off")
        length, checksum = _HEAD.unpack_from(data, offset)
        if not _LEAST <= length <= _MOST or end + length > len(data):
            raise BadRecord(offset, "a record is cut off or its length is wrong")
        body = view[end : end + length]
        if _checksum(length, body, seed) != checksum:
            raise BadRecord(offset, "a checksum is wrong")
        item = _item(bytes(body), offset)
        offset, seed = end + length, checksum
        yield item, offset, seed


def _checksum(length: int, body: bytes | memoryview, seed: int) -> int:
    return zlib.crc32(body, zlib.crc32(length.to_bytes(4, "big"), seed))


def _parts(item: Remembered) -> tuple[int, int, int, bytes]:
    if isinstance(item, Entry):
        return _ENTRY_CODES[item.kind], item.index, item.term, item.data
    if isinstance(item, HardState):
        return _HARD, 0, item.term, bytes.fromhex(item.vote or "")
    if isinstance(item, Lost):
        return _LOST, item.number, 0, b""
    members = item.mark.members
    lists = [[bytes.fromhex(node) for node in part] for part in (members.voters, members.standbys)]
    return _MARK, item.mark.index, item.mark.term, msgpack.packb([*lists, item.emptied])


def _item(body: bytes, offset: int) -> Remembered:
    kind, index, term = _BODY.unpack_from(body)
    data = body[_LEAST:]
    if kind in _ENTRY_OF:
        return Entry(index, term, _ENTRY_OF[kind], data)
    try:
        if kind == _HARD:
            return HardState(term, fields.node_id(data) if data else None)
        if kind == _LOST:
            return Lost(index)
        if kind == _MARK:
            return _mark(index, term, data)
    except WireError as error:
        raise BadRecord(offset, str(error)) from None
    raise BadRecord(offset, f"record kind {kind} is not known")


def _mark(index: int, term: int, data: bytes) -> Forgotten:
    parts = fields.unpack(data, most=MAX_DATA)
    if len(parts) != 3 or not isinstance(parts[2], bool):
        raise WireError("a mark has three parts")
    members = Members(_nodes(parts[0]), _nodes(parts[1]))
    return Forgotten(SnapshotMark(index, term, members), parts[2])


def _nodes(value: Any) -> tuple[NodeId, ...]:
    return tuple(fields.node_id(item) for item in fields.listed(value, most=MAX_LISTED))
