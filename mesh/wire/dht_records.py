"""Records in the distributed table: one for each (service or model, node), signed by that node.

The table's key is derived from kind and name, so a record cannot be stored where it does not
belong: the reader derives the key again from the name in the signed body. A record with an empty
body says that the node withdrew; it replaces older ones and is given to nobody.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Literal, get_args

from mesh.capability import NodeRecord, ServedModel
from mesh.errors import RecordRejected, WireError
from mesh.identity.grants import MAX_GRANT
from mesh.identity.keys import NodeKey
from mesh.ids import MeshId, NodeId
from mesh.wire import fields
from mesh.wire.records import (
    MAX_NAME,
    check_times,
    pack_model,
    seal,
    unpack_grants,
    unpack_model,
    unpack_roles,
    unpack_state,
    unseal,
)

DhtKind = Literal["model", "service"]
"""What a record is about: a model's name, or a role (mesh.capability.Role) as a service."""

DHT_RECORD = "dht-record"
"""Purpose of the signature under a DhtRecord."""
MAX_DHT_BODY = 1000
"""Bytes of a body, as in BEP 44 (bittorrent.org/beps/bep_0044.html)."""
MAX_DHT_RECORD = 1250 + MAX_GRANT
"""Bytes of a DhtRecord's envelope: the body, 96 bytes of signature and key, a grant, the rest."""
MAX_DHT_GRANTS = 1
"""Grants in one record; enough to show that its node is a member."""
MAX_TTL: dict[DhtKind, float] = {"model": 1800.0, "service": 1800.0}
"""Seconds a record may ask to be believed, by kind."""

_KINDS: dict[str, DhtKind] = {kind: kind for kind in get_args(DhtKind)}


@dataclass(frozen=True, slots=True)
class DhtRecord:
    """What one node says under one key of the table."""

    kind: DhtKind
    key: bytes
    node: NodeId
    seq: int
    issued_at: float
    ttl: float
    body: bytes
    grants: tuple[bytes, ...] = ()
    """Encoded grants of the node; closed meshes hold no records without a valid one."""

    @property
    def withdrawn(self) -> bool:
        return not self.body


@dataclass(frozen=True, slots=True)
class SignedDhtRecord:
    """A DhtRecord whose signature was checked, with the bytes to pass on."""

    record: DhtRecord
    data: bytes


def table_key(kind: DhtKind, name: str) -> bytes:
    """Where records about a name live: 20 bytes of SHA-256 over kind and name."""
    return hashlib.sha256(b"\0".join((kind.encode(), name.encode()))).digest()[: fields.ID_BYTES]


def sign_dht(key: NodeKey, mesh_id: MeshId, record: DhtRecord) -> SignedDhtRecord:
    """Sign this node's own record. Raises WireError when the body is larger than 1000 bytes."""
    if len(record.body) > MAX_DHT_BODY:
        raise WireError(f"a table record's body is {len(record.body)} bytes, at most 1000 fit")
    payload = fields.pack(
        [
            bytes.fromhex(record.node),
            record.seq,
            record.kind,
            record.key,
            record.issued_at,
            record.ttl,
            record.body,
            list(record.grants[:MAX_DHT_GRANTS]),
        ]
    )
    return SignedDhtRecord(record, seal(key, mesh_id, DHT_RECORD, payload, most=MAX_DHT_RECORD))


def open_dht(data: bytes, mesh_id: MeshId, wall: float) -> SignedDhtRecord:
    """Check and decode a DhtRecord. Raises WireError (malformed) or RecordRejected (disbelieved).

    The body stays bytes: holders do not look into it.
    """
    payload, origin = unseal(data, mesh_id, DHT_RECORD, most=MAX_DHT_RECORD)
    parts = fields.unpack(payload, most=MAX_DHT_RECORD)
    if len(parts) < 7:
        raise WireError("a table record has too few fields")
    kind = _KINDS.get(fields.text(parts[2], most=MAX_NAME))
    if kind is None:
        raise RecordRejected("a table record is of a kind this version does not hold")
    record = DhtRecord(
        node=fields.node_id(parts[0]),
        seq=fields.whole(parts[1]),
        kind=kind,
        key=fields.raw(parts[3], most=fields.ID_BYTES, exactly=True),
        issued_at=fields.seconds(parts[4]),
        ttl=fields.seconds(parts[5]),
        body=fields.raw(parts[6], most=MAX_DHT_BODY),
        grants=unpack_grants(parts[7], most=MAX_DHT_GRANTS) if len(parts) > 7 else (),
    )
    if record.node != origin:
        raise RecordRejected("a table record was signed by another node's key")
    check_times(record.issued_at, record.ttl, MAX_TTL[kind], wall)
    return SignedDhtRecord(record, data)


def pack_offering(name: str, node: NodeRecord, served: ServedModel | None) -> bytes:
    """A body that says: this node offers `name`, at these addresses. At most 1000 bytes.

    The description, then the last addresses, are left out when it would be larger.
    """
    if served is not None:
        served = replace(served, ref=replace(served.ref, description=""))
    for count in range(len(node.addresses), -1, -1):
        body = fields.pack(
            [
                name,
                list(node.addresses[:count]),
                list(node.roles),
                node.state,
                None if served is None else pack_model(served),
                node.version,
            ]
        )
        if len(body) <= MAX_DHT_BODY:
            return body
    raise WireError("a model's names are too long for a table record")


def check_offering(record: DhtRecord, key: bytes) -> None:
    """Whether a record may stand under a key: its body names what the key was made from.

    A withdrawn record names nothing and fits wherever its signed key says. Raises WireError or
    RecordRejected.
    """
    if record.key != key:
        raise RecordRejected("a table record is about another key")
    if not record.withdrawn:
        open_offering(record)


def open_offering(record: DhtRecord) -> NodeRecord:
    """The node behind a record, with the one model it is about.

    Raises WireError (malformed) or RecordRejected (stored under a key it does not belong to).
    """
    parts = fields.unpack(record.body, most=MAX_DHT_BODY)
    if len(parts) < 6:
        raise WireError("a table record's body has too few fields")
    if table_key(record.kind, fields.text(parts[0], most=MAX_DHT_BODY)) != record.key:
        raise RecordRejected("a table record is stored under a key it does not belong to")
    model = None if parts[4] is None else unpack_model(parts[4])
    return NodeRecord(
        node_id=record.node,
        seq=record.seq,
        issued_at=record.issued_at,
        ttl=record.ttl,
        addresses=fields.addresses(parts[1]),
        roles=unpack_roles(parts[2]),
        state=unpack_state(parts[3]),
        models=() if model is None else (model,),
        version=fields.text(parts[5], most=MAX_NAME),
        grants=record.grants,
    )
