"""Messages on DIRECTORY and STATUS streams.

A DIRECTORY stream carries pushes (Records, Lost), which need no answer, and questions (Digest,
Want), each answered by one message in order. A STATUS stream carries LoadReport only. Every message
is a msgpack array whose first item is its number; items a reader does not know are ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from mesh.capability import Load
from mesh.errors import WireError
from mesh.ids import NodeId
from mesh.wire import fields
from mesh.wire.records import MAX_NODE_RECORD, MAX_NODE_TTL

RECORDS, LOST, DIGEST, LISTING, WANT, LOAD = 1, 2, 3, 4, 5, 6
"""Message numbers. Retired: none."""

MAX_DISCOVERY_MESSAGE = 56 * 1024
"""Bytes of one message; a batch of records is cut to fit."""
MAX_BATCH = 256
"""Records, ids or losses in one message."""
MAX_LISTED = 1024
"""Entries of one Listing."""
BUCKETS = 64
"""Parts into which the directory is hashed for comparison, by the node id's first six bits."""
BUCKET_HASH = 8
"""Bytes of one part's hash."""
MAX_JOBS = 1_000_000
MAX_JOB_SECONDS = 1e6
"""Bounds of what a LoadReport may claim."""

_HEARSAY, _LINKED, _LOST = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Records:
    """NodeRecords, each with the seconds it is still to be believed."""

    items: tuple[tuple[float, bytes], ...]


class Loss(NamedTuple):
    """A node whose link broke without a goodbye, with the seq of the record it had then."""

    node: NodeId
    seq: int
    accuser: NodeId | None = None
    """Whose link it was; None: the sender's."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Nodes that are called lost by the sender, or by somebody from whom it heard so."""

    nodes: tuple[Loss, ...]


@dataclass(frozen=True, slots=True)
class Digest:
    """Asks for a Listing of the parts whose hash differs, from part `start` on."""

    hashes: bytes
    start: int = 0


@dataclass(frozen=True, slots=True)
class Listed:
    """One node as the answering side knows it: by a live link, by hearsay (neither), or lost."""

    node: NodeId
    seq: int
    linked: bool = False
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """Answers a Digest. `start` is where to go on asking, None when this was the rest."""

    items: tuple[Listed, ...]
    start: int | None = None


@dataclass(frozen=True, slots=True)
class Want:
    """Asks for the records of some nodes; answered by Records, perhaps of fewer."""

    nodes: tuple[NodeId, ...]


@dataclass(frozen=True, slots=True)
class LoadReport:
    """How busy the sender is now."""

    load: Load


DiscoveryMessage = Records | Lost | Digest | Listing | Want | LoadReport


def encode(message: DiscoveryMessage) -> bytes:
    """Encode a message. Raises WireError when it is larger than MAX_DISCOVERY_MESSAGE."""
    match message:
        case Records(items):
            parts: list[Any] = [RECORDS, [[remaining, data] for remaining, data in items]]
        case Lost(nodes):
            parts = [LOST, [_pack_loss(loss) for loss in nodes]]
        case Digest(hashes, start):
            parts = [DIGEST, hashes, start]
        case Listing(entries, rest):
            listed = [[bytes.fromhex(item.node), item.seq, _standing(item)] for item in entries]
            parts = [LISTING, listed, rest]
        case Want(wanted):
            parts = [WANT, [bytes.fromhex(node) for node in wanted]]
        case LoadReport(load):
            parts = [LOAD, load.in_flight, load.queued, load.slots, load.job_seconds]
    data = fields.pack(parts)
    if len(data) > MAX_DISCOVERY_MESSAGE:
        raise WireError(f"a discovery message of {len(data)} bytes is too large")
    return data


def decode(data: bytes) -> DiscoveryMessage:
    """Decode a message from a peer. Raises WireError on anything else."""
    parts = fields.unpack(data, most=MAX_DISCOVERY_MESSAGE)
    decoder = _DECODERS.get(fields.whole(parts[0])) if len(parts) > 1 else None
    if decoder is None:
        raise WireError("an unknown discovery message")
    try:
        return decoder(parts)
    except IndexError:
        raise WireError("a discovery message is too short") from None


def pack_records(items: list[tuple[float, bytes]]) -> list[Records]:
    """Cut a batch of (remaining, bytes) into messages that fit."""
    messages: list[Records] = []
    batch: list[tuple[float, bytes]] = []
    size = 0
    for item in items:
        cost = len(item[1]) + 16
        if batch and (size + cost > MAX_DISCOVERY_MESSAGE - 64 or len(batch) >= MAX_BATCH):
            messages.append(Records(tuple(batch)))
            batch, size = [], 0
        batch.append(item)
        size += cost
    if batch:
        messages.append(Records(tuple(batch)))
    return messages


def _standing(item: Listed) -> int:
    return _LINKED if item.linked else _LOST if item.lost else _HEARSAY


def _records(parts: list[Any]) -> Records:
    return Records(tuple(_aged(item) for item in fields.listed(parts[1], most=MAX_BATCH)))


def _aged(item: object) -> tuple[float, bytes]:
    pair = fields.listed(item, most=4)
    return fields.seconds(pair[0], most=MAX_NODE_TTL), fields.raw(pair[1], most=MAX_NODE_RECORD)


def _pack_loss(loss: Loss) -> list[Any]:
    pair = [bytes.fromhex(loss.node), loss.seq]
    return pair if loss.accuser is None else [*pair, bytes.fromhex(loss.accuser)]


def _lost(parts: list[Any]) -> Lost:
    rows = [fields.listed(item, most=8) for item in fields.listed(parts[1], most=MAX_BATCH)]
    return Lost(tuple(_loss(row) for row in rows))


def _loss(row: list[Any]) -> Loss:
    accuser = fields.node_id(row[2]) if len(row) > 2 else None
    return Loss(fields.node_id(row[0]), fields.whole(row[1]), accuser)


def _digest(parts: list[Any]) -> Digest:
    hashes = fields.raw(parts[1], most=BUCKETS * BUCKET_HASH, exactly=True)
    return Digest(hashes, fields.whole(parts[2], most=BUCKETS - 1))


def _listing(parts: list[Any]) -> Listing:
    rows = [fields.listed(item, most=8) for item in fields.listed(parts[1], most=MAX_LISTED)]
    items = (
        Listed(fields.node_id(row[0]), fields.whole(row[1]), row[2] == _LINKED, row[2] == _LOST)
        for row in rows
    )
    rest = None if parts[2] is None else fields.whole(parts[2], most=BUCKETS - 1)
    return Listing(tuple(items), rest)


def _want(parts: list[Any]) -> Want:
    ids = fields.listed(parts[1], most=MAX_BATCH)
    return Want(tuple(fields.node_id(item) for item in ids))


def _load(parts: list[Any]) -> LoadReport:
    in_flight, queued, slots = (fields.whole(part, most=MAX_JOBS) for part in parts[1:4])
    return LoadReport(
        Load(in_flight, queued, slots, fields.seconds(parts[4], most=MAX_JOB_SECONDS))
    )


_DECODERS: dict[int, Callable[[list[Any]], DiscoveryMessage]] = {
    RECORDS: _records,
    LOST: _lost,
    DIGEST: _digest,
    LISTING: _listing,
    WANT: _want,
    LOAD: _load,
}
