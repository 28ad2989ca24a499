"""Messages on a REGISTRY stream: a subscription, and what changes in a coordinator's registry.

The subscriber sends one Subscribe and never anything else; the coordinator answers with one Opening
and then Deltas for as long as the stream lives. A Delta says of each node the newest there is, so a
reader that was slow gets less, never more. Every message is a msgpack array whose first item is its
number; items a reader does not know are ignored.

    subscriber  ── Subscribe(registry, version, scope) ──►  coordinator
                ◄── Opening(registry, full) ──────────────
                ◄── Delta ... Delta(version) ── Delta ...
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from mesh.capability import Load
from mesh.errors import WireError
from mesh.ids import NodeId
from mesh.wire import fields
from mesh.wire.discovery import MAX_JOB_SECONDS, MAX_JOBS
from mesh.wire.records import MAX_NODE_RECORD, MAX_NODE_TTL

SUBSCRIBE, OPENING, DELTA = 1, 2, 3
"""Message numbers. Retired: none."""

REGISTRY_ID = 16
"""Bytes that name one run of one coordinator's registry; a new run counts versions anew."""
MAX_DELTA = 64 * 1024
"""Bytes of one Delta: several frames, so that other streams get their turn in between."""
MAX_ROWS = 2_048
"""Loads, losses or dropped nodes in one Delta."""


class Scope(IntEnum):
    """Which rows a subscriber wants."""

    ALL = 1
    LINKED = 2
    """Nodes to which the coordinator itself holds a link: what coordinators tell each other."""


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Wants what changed since `version` of that registry; b"" and 0: everything."""

    registry: bytes
    version: int
    scope: Scope


@dataclass(frozen=True, slots=True)
class Opening:
    """`full`: everything follows, so what is not in it by the first current Delta is unknown."""

    registry: bytes
    full: bool


@dataclass(frozen=True, slots=True)
class Delta:
    """Changes. `version` is what to ask for next time; None while more belongs to it."""

    version: int | None
    records: tuple[tuple[float, bytes], ...] = ()
    """Nodes' own signed records, each with the seconds it is still to be believed."""
    loads: tuple[tuple[NodeId, Load], ...] = ()
    lost: tuple[tuple[NodeId, int], ...] = ()
    """Nodes believed lost, each with the seq of its record."""
    dropped: tuple[NodeId, ...] = ()
    """Nodes of which the coordinator says nothing any more."""


RegistryMessage = Subscribe | Opening | Delta


def encode(message: RegistryMessage) -> bytes:
    """Encode a message. Raises WireError for a Delta larger than MAX_DELTA."""
    match message:
        case Subscribe(registry, version, scope):
            return fields.pack([SUBSCRIBE, registry, version, int(scope)])
        case Opening(registry, full):
            return fields.pack([OPENING, registry, full])
        case Delta():
            return _encode_delta(message)


def decode_subscribe(data: bytes) -> Subscribe:
    """What a coordinator reads. Raises WireError."""
    parts = _parts(data, SUBSCRIBE, least=4)
    registry = fields.raw(parts[1], most=REGISTRY_ID)
    scope = fields.whole(parts[3])
    if scope not in tuple(Scope):
        raise WireError("a subscription to rows of an unknown kind")
    return Subscribe(registry, fields.whole(parts[2]), Scope(scope))


def decode_opening(data: bytes) -> Opening:
    """What a subscriber reads first. Raises WireError."""
    parts = _parts(data, OPENING, least=3)
    if not isinstance(parts[2], bool):
        raise WireError("expected a truth value")
    return Opening(fields.raw(parts[1], most=REGISTRY_ID, exactly=True), parts[2])


def decode_delta(data: bytes) -> Delta:
    """What a subscriber reads from then on. Raises WireError."""
    parts = _parts(data, DELTA, least=6)
    records, loads, lost, dropped = (fields.listed(part, most=MAX_ROWS) for part in parts[2:6])
    return Delta(
        None if parts[1] is None else fields.whole(parts[1]),
        tuple(_record(item) for item in records),
        tuple(_load(item) for item in loads),
        tuple(_loss(item) for item in lost),
        tuple(fields.node_id(item) for item in dropped),
    )


def _parts(data: bytes, number: int, *, least: int) -> list[Any]:
    parts = fields.unpack(data, most=MAX_DELTA)
    if len(parts) < least or fields.whole(parts[0]) != number:
        raise WireError("an unexpected message on a registry stream")
    return parts


def _encode_delta(delta: Delta) -> bytes:
    data = fields.pack(
        [
            DELTA,
            delta.version,
            [[remaining, record] for remaining, record in delta.records],
            [_pack_load(node, load) for node, load in delta.loads],
            [[bytes.fromhex(node), seq] for node, seq in delta.lost],
            [bytes.fromhex(node) for node in delta.dropped],
        ]
    )
    if len(data) > MAX_DELTA:
        raise WireError(f"a delta of {len(data)} bytes is too large")
    return data


def _pack_load(node: NodeId, load: Load) -> list[Any]:
    return [bytes.fromhex(node), load.in_flight, load.queued, load.slots, load.job_seconds]


def _record(item: object) -> tuple[float, bytes]:
    pair = fields.listed(item, most=8)
    if len(pair) < 2:
        raise WireError("a record in a delta is too short")
    return fields.seconds(pair[0], most=MAX_NODE_TTL), fields.raw(pair[1], most=MAX_NODE_RECORD)


def _load(item: object) -> tuple[NodeId, Load]:
    row = fields.listed(item, most=8)
    if len(row) < 5:
        raise WireError("a load in a delta is too short")
    in_flight, queued, slots = (fields.whole(part, most=MAX_JOBS) for part in row[1:4])
    seconds = fields.seconds(row[4], most=MAX_JOB_SECONDS)
    return fields.node_id(row[0]), Load(in_flight, queued, slots, seconds)


def _loss(item: object) -> tuple[NodeId, int]:
    pair = fields.listed(item, most=8)
    if len(pair) < 2:
        raise WireError("a loss in a delta is too short")
    return fields.node_id(pair[0]), fields.whole(pair[1])
