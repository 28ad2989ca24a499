"""Signed permission for a node to take part in a mesh and to play a role in it.

A grant is signed by the mesh's root key, or by a coordinator whose own grant, signed by the root,
travels inside it. The chain is never longer: root -> issuing coordinator -> node. The root gives
any role; a coordinator gives worker, gateway, storage and relay; one that is granted admin as well
makes coordinators, too. Nobody but the root makes an admin.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, get_args

import msgpack

from mesh.capability import Role
from mesh.errors import RecordRejected
from mesh.identity.keys import PUBLIC_KEY_SIZE, SIGNATURE_SIZE, SigningKey
from mesh.identity.signing import sign, verify
from mesh.ids import MeshId, NodeId, hash_key

PURPOSE = "grant"
MAX_GRANT = 1024
"""Bytes of an encoded grant with its chain."""
MAX_SERIAL = 32
CLOCK_TOLERANCE = 300.0
"""Seconds two honest wall clocks may differ before an expiry is disputed."""

ALL_ROLES: tuple[Role, ...] = get_args(Role)
GRANTED_ROLES: frozenset[Role] = frozenset({"coordinator", "relay", "admin"})
"""Roles nobody is believed to have without a grant."""
COORDINATORS_GIVE: frozenset[Role] = frozenset({"worker", "gateway", "storage", "relay"})
"""Roles that a coordinator may grant."""
ADMINS_GIVE: frozenset[Role] = COORDINATORS_GIVE | {"coordinator"}
"""Roles that a coordinator who is granted admin may grant."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Permission for `node_id` to play `roles` until `not_after` (Unix seconds)."""

    mesh_id: MeshId
    node_id: NodeId
    roles: tuple[Role, ...]
    not_after: float
    serial: str
    """Random hex; revocation names it."""
    issuer_key: bytes
    signature: bytes
    issuer: Grant | None = None
    """The issuing coordinator's own grant; None when the root key signed."""


def issue_grant(
    key: SigningKey,
    *,
    mesh_id: MeshId,
    node_id: NodeId,
    roles: Collection[Role],
    not_after: float,
    issuer: Grant | None = None,
) -> Grant:
    """Sign a grant with the root key, or with a coordinator's key and that coordinator's grant."""
    ordered = tuple(role for role in ALL_ROLES if role in roles)
    serial = secrets.token_hex(8)
    payload = _payload(node_id, ordered, not_after, serial)
    signature = sign(key, PURPOSE, mesh_id, payload)
    return Grant(
        mesh_id, node_id, ordered, float(not_after), serial, key.public_key, signature, issuer
    )


def grantable_roles(issuer: Collection[Role]) -> frozenset[Role]:
    """The roles that the holder of a root-signed grant of these roles may grant."""
    if "coordinator" not in issuer:
        return frozenset()
    return ADMINS_GIVE if "admin" in issuer else COORDINATORS_GIVE


def check_grant(
    grant: Grant,
    *,
    mesh_id: MeshId,
    node_id: NodeId,
    now_wall: float,
    revoked: Collection[str] = frozenset(),
) -> tuple[Role, ...]:
    """The roles the grant gives that node in that mesh. Raises RecordRejected with the reason.

    `revoked` holds serials, and ids of nodes whose grants and whose word count no more. The mesh id
    is the hash of the root key, so nothing else is needed.
    """
    if grant.node_id != node_id:
        raise RecordRejected("the grant is for another node")
    _check_link(grant, mesh_id, now_wall, revoked)
    if hash_key(grant.issuer_key) == mesh_id:
        return grant.roles
    issuer = grant.issuer
    if issuer is None:
        raise RecordRejected("the grant is signed by a key that is not this mesh's root")
    _check_issuer(grant, issuer, mesh_id, now_wall, revoked)
    return grant.roles


def _check_issuer(
    grant: Grant, issuer: Grant, mesh_id: MeshId, now_wall: float, revoked: Collection[str]
) -> None:
    _check_link(issuer, mesh_id, now_wall, revoked)
    if issuer.issuer is not None or hash_key(issuer.issuer_key) != mesh_id:
        raise RecordRejected("the grant's issuer was not granted by this mesh's root")
    if hash_key(grant.issuer_key) != issuer.node_id:
        raise RecordRejected("the grant is not signed by the node its chain names")
    if "coordinator" not in issuer.roles:
        raise RecordRejected("the grant's issuer is no coordinator")
    beyond = set(grant.roles) - grantable_roles(issuer.roles)
    if beyond:
        raise RecordRejected(_may_not_give(beyond))


def _may_not_give(roles: set[Role]) -> str:
    if "admin" in roles:
        return "only the root key can make an admin"
    if "coordinator" in roles:
        return "only the root key or an admin can make a coordinator"
    return "the grant's issuer may not give that role"


def _check_link(grant: Grant, mesh_id: MeshId, now_wall: float, revoked: Collection[str]) -> None:
    if grant.mesh_id != mesh_id:
        raise RecordRejected("the grant is for another mesh")
    if grant.serial in revoked:
        raise RecordRejected("the grant was revoked")
    if grant.node_id in revoked:
        raise RecordRejected("the node was removed from the mesh")
    if now_wall > grant.not_after + CLOCK_TOLERANCE:
        raise RecordRejected("the grant has expired")
    payload = _payload(grant.node_id, grant.roles, grant.not_after, grant.serial)
    if not verify(grant.issuer_key, PURPOSE, mesh_id, payload, grant.signature):
        raise RecordRejected("the grant's signature is wrong")


def encode_grant(grant: Grant) -> bytes:
    """At most MAX_GRANT bytes."""
    packed: bytes = msgpack.packb(_fields(grant))
    return packed


def decode_grant(data: bytes) -> Grant:
    """Raises RecordRejected on anything that is not a well-formed grant. Checks no signature."""
    if len(data) > MAX_GRANT:
        raise RecordRejected(f"a grant has at most {MAX_GRANT} bytes")
    try:
        return _parse(msgpack.unpackb(data, max_array_len=16, max_map_len=0), depth=2)
    except (ValueError, TypeError, RecursionError):
        raise RecordRejected("the grant cannot be read") from None


def _payload(node_id: NodeId, roles: tuple[Role, ...], not_after: float, serial: str) -> bytes:
    packed: bytes = msgpack.packb([node_id, roles, float(not_after), serial])
    return packed


def _fields(grant: Grant) -> list[Any]:
    issuer = None if grant.issuer is None else _fields(grant.issuer)
    fixed = [grant.mesh_id, grant.node_id, grant.roles, grant.not_after, grant.serial]
    return [*fixed, grant.issuer_key, grant.signature, issuer]


def _parse(fields: Any, *, depth: int) -> Grant:
    if depth == 0 or not isinstance(fields, list):
        raise ValueError
    mesh_id, node_id, roles, not_after, serial, issuer_key, signature, issuer = fields[:8]
    texts = (mesh_id, node_id, serial, *roles)
    if not all(isinstance(text, str) and len(text) <= 40 for text in texts):
        raise ValueError
    if not (isinstance(not_after, float) and math.isfinite(not_after)):
        raise ValueError
    if len(serial) > MAX_SERIAL or len(roles) > len(ALL_ROLES):
        raise ValueError
    if not (isinstance(issuer_key, bytes) and len(issuer_key) == PUBLIC_KEY_SIZE):
        raise ValueError
    if not (isinstance(signature, bytes) and len(signature) == SIGNATURE_SIZE):
        raise ValueError
    parent = None if issuer is None else _parse(issuer, depth=depth - 1)
    return Grant(
        MeshId(mesh_id),
        NodeId(node_id),
        tuple(roles),
        not_after,
        serial,
        issuer_key,
        signature,
        parent,
    )
