"""REVOCATION streams: which lists of revocations a node holds, and the lists themselves.

Each stream is one request and one answer, msgpack arrays whose first item is the number:

    HAVE   [1, [[signer, number], ...]]   answered by LISTS: those that the asker lacks
    LISTS  [2, [list, ...]]               pushed when something is new; answered by HAVE

A list is [mesh id, number, issued at, [[node, until, [serial, ...]], ...], signer's key, signature,
signer's grant or nil]. Items a reader does not know are ignored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mesh.errors import RecordRejected, WireError
from mesh.identity.grants import MAX_GRANT, MAX_SERIAL, decode_grant
from mesh.identity.keys import PUBLIC_KEY_SIZE, SIGNATURE_SIZE
from mesh.identity.revocations import (
    MAX_ENTRIES,
    MAX_LISTS,
    MAX_PAYLOAD,
    MAX_SERIALS,
    MAX_SIGNERS,
    Revocations,
    Revoked,
    pack_entry,
    pack_issuer,
)
from mesh.ids import MeshId
from mesh.wire import fields

HAVE, LISTS = 1, 2
"""Message numbers. Retired: none."""
MAX_LIST = MAX_PAYLOAD + MAX_GRANT + 512
"""Bytes of one list."""
MAX_MESSAGE = MAX_LISTS * MAX_LIST + 64


@dataclass(frozen=True, slots=True)
class Have:
    """The newest number of each signer that the sender has seen."""

    numbers: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Lists:
    """Encoded lists; who receives them checks each."""

    items: tuple[bytes, ...]


def encode(message: Have | Lists) -> bytes:
    """One message."""
    match message:
        case Have(numbers):
            pairs = [[bytes.fromhex(signer), number] for signer, number in numbers.items()]
            return fields.pack([HAVE, pairs[-MAX_SIGNERS:]])
        case Lists(items):
            return fields.pack([LISTS, list(items[:MAX_LISTS])])


def decode(data: bytes) -> Have | Lists:
    """Raises WireError."""
    parts = fields.unpack(data, most=MAX_MESSAGE)
    if len(parts) < 2:
        raise WireError("a message about revocations is too short")
    if parts[0] == HAVE:
        pairs = [fields.listed(pair, most=8) for pair in fields.listed(parts[1], most=MAX_SIGNERS)]
        return Have(dict(map(_pair, pairs)))
    if parts[0] == LISTS:
        items = fields.listed(parts[1], most=MAX_LISTS)
        return Lists(tuple(fields.raw(item, most=MAX_LIST) for item in items))
    raise WireError(f"message {parts[0]!r} is none about revocations")


def encode_revocations(given: Revocations) -> bytes:
    """At most MAX_LIST bytes."""
    return fields.pack(
        [
            bytes.fromhex(given.mesh_id),
            given.number,
            given.issued_at,
            [pack_entry(entry) for entry in given.entries],
            given.issuer_key,
            given.signature,
            pack_issuer(given),
        ]
    )


def decode_revocations(data: bytes) -> Revocations:
    """Raises WireError or, for the signer's grant, RecordRejected. Checks no signature."""
    parts = fields.unpack(data, most=MAX_LIST)
    if len(parts) < 7:
        raise WireError("a list of revocations has too few fields")
    entries = (_entry(item) for item in fields.listed(parts[3], most=MAX_ENTRIES))
    return Revocations(
        mesh_id=MeshId(fields.node_id(parts[0])),
        number=fields.whole(parts[1]),
        issued_at=fields.seconds(parts[2]),
        entries=tuple(entries),
        issuer_key=fields.raw(parts[4], most=PUBLIC_KEY_SIZE, exactly=True),
        signature=fields.raw(parts[5], most=SIGNATURE_SIZE, exactly=True),
        issuer=None if parts[6] is None else decode_grant(fields.raw(parts[6], most=MAX_GRANT)),
    )


def pack_lists(lists: Sequence[Revocations]) -> bytes:
    """The lists as a file keeps them."""
    return fields.pack([encode_revocations(each) for each in lists[:MAX_LISTS]])


def unpack_lists(data: bytes) -> Iterable[Revocations]:
    """What `pack_lists` wrote; a damaged list is left out. Raises WireError when all is."""
    for item in fields.listed(fields.unpack(data, most=MAX_MESSAGE), most=MAX_LISTS):
        try:
            yield decode_revocations(fields.raw(item, most=MAX_LIST))
        except RecordRejected:
            continue


def _entry(value: Any) -> Revoked:
    parts = fields.listed(value, most=8)
    if len(parts) < 3:
        raise WireError("a revocation has too few fields")
    serials = fields.listed(parts[2], most=MAX_SERIALS)
    return Revoked(
        node_id=fields.node_id(parts[0]),
        until=fields.seconds(parts[1]),
        serials=tuple(fields.text(serial, most=MAX_SERIAL) for serial in serials),
    )


def _pair(parts: list[Any]) -> tuple[str, int]:
    if len(parts) < 2:
        raise WireError("a signer comes with a number")
    return fields.node_id(parts[0]), fields.whole(parts[1])
