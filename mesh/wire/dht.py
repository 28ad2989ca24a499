"""Calls on DHT streams: one request and one answer on each stream.

Every message is a msgpack array whose first item is its number; items a reader does not know are
ignored. Requests and answers both say who the sender is to the table (`Self`), so that tables fill
by use alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mesh.errors import WireError
from mesh.ids import NodeId
from mesh.wire import fields
from mesh.wire.dht_records import MAX_DHT_RECORD, MAX_TTL

PING, FIND_NODES, FIND_RECORDS, STORE, PONG, NODES, FOUND, STORED = 1, 2, 3, 4, 5, 6, 7, 8
"""Message numbers. Retired: none."""

MAX_DHT_MESSAGE = 128 * 1024
"""Bytes of one message; a page of records is cut to fit."""
MAX_CONTACTS = 20
"""Contacts in one answer: Kademlia's k."""
MAX_PAGE = 200
"""Records in one answer."""
MAX_STORES = 32
"""Records in one Store."""
MAX_HELD = 1_000_000
SET_HASH = 8
"""Bytes of the hash over the (node, seq) pairs held under a key."""

_LONGEST_TTL = max(MAX_TTL.values())


@dataclass(frozen=True, slots=True)
class Address:
    """A node and where it can be dialled."""

    node: NodeId
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Self:
    """Whether the sender holds a part of the table, and where it can be dialled."""

    serving: bool = False
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ping:
    sender: Self


@dataclass(frozen=True, slots=True)
class FindNodes:
    """Asks for the contacts nearest to a key."""

    sender: Self
    key: bytes


@dataclass(frozen=True, slots=True)
class FindRecords:
    """Asks for records under a key, by rising node id after `after`, and the nearest contacts.

    `around`: go on from the lowest id after the highest, so that any `after` finds what there is.
    `towards`: the place whose nearest contacts are wanted, where that is not the key.
    """

    sender: Self
    key: bytes
    after: NodeId | None = None
    limit: int = MAX_PAGE
    around: bool = False
    towards: bytes | None = None


@dataclass(frozen=True, slots=True)
class Store:
    """Asks to hold records, each with the seconds it is still to be believed."""

    sender: Self
    items: tuple[tuple[float, bytes], ...]


@dataclass(frozen=True, slots=True)
class Pong:
    sender: Self


@dataclass(frozen=True, slots=True)
class Nodes:
    sender: Self
    contacts: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """A page of records. `more`: others follow after the last one's node."""

    sender: Self
    contacts: tuple[Address, ...]
    items: tuple[tuple[float, bytes], ...] = ()
    more: bool = False
    total: int = 0
    set_hash: bytes = bytes(SET_HASH)


@dataclass(frozen=True, slots=True)
class Stored:
    """For each record of a Store: whether it is held now."""

    sender: Self
    held: tuple[bool, ...]


DhtRequest = Ping | FindNodes | FindRecords | Store
DhtAnswer = Pong | Nodes | Found | Stored


def encode(message: DhtRequest | DhtAnswer) -> bytes:
    """Encode a message. Raises WireError when it is larger than MAX_DHT_MESSAGE."""
    sender = [message.sender.serving, list(message.sender.addresses)]
    match message:
        case Ping():
            parts: list[Any] = [PING, sender]
        case FindNodes(_, key):
            parts = [FIND_NODES, sender, key]
        case FindRecords(_, key, after, limit, around, towards):
            start = after and bytes.fromhex(after)
            parts = [FIND_RECORDS, sender, key, start, limit, around, towards]
        case Store(_, items):
            parts = [STORE, sender, _pack_items(items)]
        case Pong():
            parts = [PONG, sender]
        case Nodes(_, contacts):
            parts = [NODES, sender, _pack_contacts(contacts)]
        case Found(_, contacts, items, more, total, set_hash):
            page = _pack_items(items)
            parts = [FOUND, sender, _pack_contacts(contacts), page, more, total, set_hash]
        case Stored(_, held):
            parts = [STORED, sender, list(held)]
    data = fields.pack(parts)
    if len(data) > MAX_DHT_MESSAGE:
        raise WireError(f"a table message of {len(data)} bytes is too large")
    return data


def decode_request(data: bytes) -> DhtRequest:
    """Raises WireError on anything that is not a well-formed request."""
    number, parts = _open(data)
    sender = _self(parts)
    try:
        match number:
            case 1:
                return Ping(sender)
            case 2:
                return FindNodes(sender, _key(parts[2]))
            case 3:
                after = None if parts[3] is None else fields.node_id(parts[3])
                limit = min(MAX_PAGE, fields.whole(parts[4]))
                towards = None if len(parts) < 7 or parts[6] is None else _key(parts[6])
                return FindRecords(sender, _key(parts[2]), after, limit, parts[5] is True, towards)
            case 4:
                return Store(sender, _items(parts[2], most=MAX_STORES))
    except IndexError:
        raise WireError("a table request is too short") from None
    raise WireError("an unknown table request")


def decode_answer(data: bytes) -> DhtAnswer:
    """Raises WireError on anything that is not a well-formed answer."""
    number, parts = _open(data)
    sender = _self(parts)
    try:
        match number:
            case 5:
                return Pong(sender)
            case 6:
                return Nodes(sender, _contacts(parts[2]))
            case 7:
                return _found(sender, parts)
            case 8:
                held = fields.listed(parts[2], most=MAX_STORES)
                return Stored(sender, tuple(item is True for item in held))
    except IndexError:
        raise WireError("a table answer is too short") from None
    raise WireError("an unknown table answer")


def _found(sender: Self, parts: list[Any]) -> Found:
    return Found(
        sender,
        _contacts(parts[2]),
        _items(parts[3], most=MAX_PAGE),
        parts[4] is True,
        fields.whole(parts[5], most=MAX_HELD),
        fields.raw(parts[6], most=SET_HASH, exactly=True),
    )


def _open(data: bytes) -> tuple[int, list[Any]]:
    parts = fields.unpack(data, most=MAX_DHT_MESSAGE)
    if len(parts) < 2:
        raise WireError("a table message is too short")
    return fields.whole(parts[0]), parts


def _self(parts: list[Any]) -> Self:
    sender = fields.listed(parts[1], most=8)
    if len(sender) < 2:
        raise WireError("a table message does not say who sends it")
    return Self(sender[0] is True, fields.addresses(sender[1]))


def _key(value: object) -> bytes:
    return fields.raw(value, most=fields.ID_BYTES, exactly=True)


def _contacts(value: object) -> tuple[Address, ...]:
    rows = [fields.listed(item, most=8) for item in fields.listed(value, most=MAX_CONTACTS)]
    return tuple(Address(fields.node_id(row[0]), fields.addresses(row[1])) for row in rows)


def _items(value: object, *, most: int) -> tuple[tuple[float, bytes], ...]:
    rows = [fields.listed(item, most=4) for item in fields.listed(value, most=most)]
    return tuple(
        (fields.seconds(row[0], most=_LONGEST_TTL), fields.raw(row[1], most=MAX_DHT_RECORD))
        for row in rows
    )


def _pack_items(items: tuple[tuple[float, bytes], ...]) -> list[list[Any]]:
    return [[remaining, data] for remaining, data in items]


def _pack_contacts(contacts: tuple[Address, ...]) -> list[list[Any]]:
    return [[bytes.fromhex(contact.node), list(contact.addresses)] for contact in contacts]
