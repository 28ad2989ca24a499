"""Signed records: what a node says of itself, as bytes that anybody can pass on and check.

An envelope is a msgpack array [payload, public key, signature]. The signature covers the purpose,
the mesh id and the payload (`mesh.identity.signing`), so a record of one mesh or kind is never one
of another. The node id follows from the public key. Array items a reader does not know are ignored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, get_args

from mesh.capability import (
    Gpu,
    Modality,
    ModelRef,
    NodeRecord,
    NodeState,
    Resources,
    Role,
    Runnable,
    ServedModel,
)
from mesh.errors import RecordRejected, WireError
from mesh.identity.grants import MAX_GRANT
from mesh.identity.keys import NodeKey
from mesh.identity.signing import sign, verify
from mesh.ids import MeshId, NodeId, node_id_of
from mesh.jobs import Feature
from mesh.wire import fields

NODE_RECORD = "node-record"
"""Purpose of the signature under a NodeRecord."""
MAX_NODE_RECORD = 8 * 1024
"""Bytes of a NodeRecord's envelope."""
MAX_NODE_TTL = 3600.0
"""Seconds a NodeRecord may ask to be believed."""
MAX_CLOCK_ERROR = 86_400.0
"""Seconds that two wall clocks may differ before records are refused."""
MAX_MODELS = 512
MAX_NAME = 200
MAX_DESCRIPTION = 300
MAX_SLOTS = 100_000
MAX_SPEED = 1e9
MAX_STATE_REASON = 200
MAX_GPUS = 64
"""Bounds of one record's content; MAX_NODE_RECORD usually binds first."""

MAX_RECORD_GRANTS = 2
"""Grants in one record: enough to show that the node is a member, and of what roles."""

_MAX_ROLES = 32
_MAX_FEATURES = 16
_ROLES = frozenset(get_args(Role))
_STATES = frozenset(get_args(NodeState))
_MODALITIES = frozenset(get_args(Modality))
_FEATURES = frozenset(get_args(Feature))


@dataclass(frozen=True, slots=True)
class SignedNode:
    """A NodeRecord whose signature was checked, with the bytes to pass on."""

    record: NodeRecord
    data: bytes


def sign_node(key: NodeKey, mesh_id: MeshId, record: NodeRecord) -> SignedNode:
    """Sign this node's own record. Raises WireError when it does not fit into 8 KiB."""
    data = seal(key, mesh_id, NODE_RECORD, _pack_node(record), most=MAX_NODE_RECORD)
    return SignedNode(record, data)


def fit_node(key: NodeKey, mesh_id: MeshId, record: NodeRecord) -> SignedNode:
    """Sign the record; when it is too large drop descriptions, then the last models, until it fits.

    Models left out are still found by look-ups.
    """
    bare = tuple(
        replace(served, ref=replace(served.ref, description="")) for served in record.models
    )
    for models in (record.models, *(bare[:count] for count in _fewer(len(bare)))):
        try:
            return sign_node(key, mesh_id, replace(record, models=models))
        except WireError:
            continue
    raise WireError("a node record without models does not fit into 8 KiB")


def open_node(data: bytes, mesh_id: MeshId, wall: float) -> SignedNode:
    """Check and decode a NodeRecord. Raises WireError (malformed) or RecordRejected (disbelieved).

    `wall` is this node's Unix time. How long the record is believed is for the holder to decide.
    """
    payload, origin = unseal(data, mesh_id, NODE_RECORD, most=MAX_NODE_RECORD)
    record = _unpack_node(payload)
    if record.node_id != origin:
        raise RecordRejected("a node record was signed by another node's key")
    check_times(record.issued_at, record.ttl, MAX_NODE_TTL, wall)
    return SignedNode(record, data)


def peek_node(data: bytes) -> tuple[NodeId, int]:
    """(node id, seq) as claimed, unchecked: lets known records be dropped before the signature.

    Raises WireError.
    """
    parts = fields.unpack(data, most=MAX_NODE_RECORD)
    if not parts:
        raise WireError("an envelope is empty")
    head = fields.unpack(fields.raw(parts[0], most=MAX_NODE_RECORD), most=MAX_NODE_RECORD)
    if len(head) < 2:
        raise WireError("a node record is too short")
    return fields.node_id(head[0]), fields.whole(head[1])


def seal(key: NodeKey, mesh_id: MeshId, purpose: str, payload: bytes, *, most: int) -> bytes:
    """Put a payload into an envelope. Raises WireError when it is larger than `most` bytes."""
    signature = sign(key, purpose, mesh_id, payload)
    data = fields.pack([payload, key.public_key, signature])
    if len(data) > most:
        raise WireError(f"a record is {len(data)} bytes, at most {most} fit")
    return data


def unseal(data: bytes, mesh_id: MeshId, purpose: str, *, most: int) -> tuple[bytes, NodeId]:
    """The payload of an envelope and who signed it. Raises WireError or RecordRejected."""
    parts = fields.unpack(data, most=most)
    if len(parts) < 3:
        raise WireError("an envelope has fewer than three parts")
    payload = fields.raw(parts[0], most=most)
    public_key = fields.raw(parts[1], most=32, exactly=True)
    signature = fields.raw(parts[2], most=64, exactly=True)
    if not verify(public_key, purpose, mesh_id, payload, signature):
        raise RecordRejected("a record's signature does not fit it, or is of another mesh")
    return payload, node_id_of(public_key)


def check_times(issued_at: float, ttl: float, most: float, wall: float) -> None:
    """Refuse a ttl beyond the cap and an issuer's clock more than a day off (RecordRejected)."""
    if not 0 < ttl <= most:
        raise RecordRejected(f"a record wants to live {ttl:.0f} s, at most {most:.0f} s are given")
    if abs(issued_at - wall) > MAX_CLOCK_ERROR:
        raise RecordRejected("a record was issued more than a day away from this node's clock")


def pack_model(served: ServedModel) -> list[Any]:
    """A ServedModel as plain values."""
    ref = served.ref
    return [
        ref.name,
        ref.engine,
        ref.digest,
        ref.quantisation,
        ref.context,
        ref.modality,
        list(ref.features),
        ref.description,
        served.slots,
        served.speed,
    ]


def unpack_model(value: object) -> ServedModel | None:
    """None for a modality this version does not know. Raises WireError when malformed."""
    parts = fields.listed(value, most=32)
    if len(parts) < 10:
        raise WireError("a model has too few fields")
    name, engine, digest, quantisation = (fields.text(part, most=MAX_NAME) for part in parts[:4])
    context = fields.whole(parts[4])
    modality = fields.text(parts[5], most=MAX_NAME)
    features = _known(parts[6], _FEATURES, most=_MAX_FEATURES)
    description = fields.text(parts[7], most=MAX_DESCRIPTION)
    slots = fields.whole(parts[8], most=MAX_SLOTS)
    speed = fields.seconds(parts[9], most=MAX_SPEED)
    if modality not in _MODALITIES or not name:
        return None
    ref = ModelRef(
        name=name,
        engine=engine,
        digest=digest,
        quantisation=quantisation,
        context=context,
        modality=modality,  # type: ignore[arg-type]  # checked against the Literal just above
        features=features,
        description=description,
    )
    return ServedModel(ref=ref, slots=slots, speed=speed)


def unpack_roles(value: object) -> tuple[Role, ...]:
    """The roles this version knows, in the order they came."""
    return _known(value, _ROLES, most=_MAX_ROLES)


def unpack_grants(value: object, *, most: int) -> tuple[bytes, ...]:
    """Encoded grants, unchecked. Raises WireError when they are too many or too large."""
    items = fields.listed(value, most=most)
    return tuple(fields.raw(item, most=MAX_GRANT) for item in items)


def unpack_state(value: object) -> NodeState:
    """A state this version does not know counts as degraded: not to be preferred."""
    state = fields.text(value, most=MAX_NAME)
    return state if state in _STATES else "degraded"  # type: ignore[return-value]


def _pack_node(record: NodeRecord) -> bytes:
    return fields.pack(
        [
            bytes.fromhex(record.node_id),
            record.seq,
            record.issued_at,
            record.ttl,
            list(record.addresses),
            list(record.roles),
            record.state,
            [pack_model(served) for served in record.models],
            record.version,
            record.reason,
            _pack_resources(record.resources),
            [_pack_runnable(each) for each in record.runnable],
            list(record.grants[:MAX_RECORD_GRANTS]),
        ]
    )


def _unpack_node(payload: bytes) -> NodeRecord:
    parts = fields.unpack(payload, most=MAX_NODE_RECORD)
    if len(parts) < 9:
        raise WireError("a node record has too few fields")
    models = (unpack_model(item) for item in fields.listed(parts[7], most=MAX_MODELS))
    return NodeRecord(
        node_id=fields.node_id(parts[0]),
        seq=fields.whole(parts[1]),
        issued_at=fields.seconds(parts[2]),
        ttl=fields.seconds(parts[3]),
        addresses=fields.addresses(parts[4]),
        roles=unpack_roles(parts[5]),
        state=unpack_state(parts[6]),
        models=tuple(model for model in models if model is not None),
        version=fields.text(parts[8], most=MAX_NAME),
        reason=fields.text(parts[9], most=MAX_STATE_REASON) if len(parts) > 9 else "",
        resources=_unpack_resources(parts[10]) if len(parts) > 10 else Resources(),
        runnable=_unpack_runnables(parts[11]) if len(parts) > 11 else (),
        grants=unpack_grants(parts[12], most=MAX_RECORD_GRANTS) if len(parts) > 12 else (),
    )


def _pack_resources(resources: Resources) -> list[Any]:
    gpus = [[gpu.name, gpu.memory] for gpu in resources.gpus]
    return [resources.cores, resources.memory, gpus]


def _unpack_resources(value: object) -> Resources:
    parts = fields.listed(value, most=32)
    if len(parts) < 3:
        raise WireError("resources have too few fields")
    return Resources(
        cores=fields.seconds(parts[0], most=MAX_SPEED),
        memory=fields.whole(parts[1]),
        gpus=tuple(_unpack_gpu(item) for item in fields.listed(parts[2], most=MAX_GPUS)),
    )


def _unpack_gpu(value: object) -> Gpu:
    parts = fields.listed(value, most=32)
    if len(parts) < 2:
        raise WireError("an accelerator has too few fields")
    return Gpu(name=fields.text(parts[0], most=MAX_NAME), memory=fields.whole(parts[1]))


def _pack_runnable(runnable: Runnable) -> list[Any]:
    return [runnable.model, runnable.engine, runnable.memory, runnable.gpu_memory]


def _unpack_runnables(value: object) -> tuple[Runnable, ...]:
    return tuple(_unpack_runnable(item) for item in fields.listed(value, most=MAX_MODELS))


def _unpack_runnable(value: object) -> Runnable:
    parts = fields.listed(value, most=32)
    if len(parts) < 4:
        raise WireError("a runnable model has too few fields")
    model, engine = (fields.text(part, most=MAX_NAME) for part in parts[:2])
    return Runnable(model, engine, fields.whole(parts[2]), fields.whole(parts[3]))


def _known(value: object, allowed: frozenset[Any], *, most: int) -> tuple[Any, ...]:
    items = [fields.text(item, most=MAX_NAME) for item in fields.listed(value, most=most)]
    return tuple(dict.fromkeys(item for item in items if item in allowed))


def _fewer(count: int) -> list[int]:
    """Counts to try, largest first: all, then steadily about a tenth less, down to none."""
    counts = [count]
    while counts[-1] > 0:
        counts.append(counts[-1] - max(1, counts[-1] // 10))
    return counts
