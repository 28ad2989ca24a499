"""What a peer may do here: its claimed roles weighed against its grants."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from mesh.capability import Role
from mesh.errors import RecordRejected
from mesh.identity.grants import GRANTED_ROLES, check_grant, decode_grant
from mesh.ids import MeshId
from mesh.wire.hello import Hello


@dataclass(frozen=True, slots=True)
class Standing:
    """A peer's roles as this node believes them."""

    roles: tuple[Role, ...]
    """Claimed, and granted where a grant is needed."""
    granted: frozenset[Role]
    """Roles that a valid grant gives, whether claimed or not."""
    rejected: tuple[str, ...] = ()
    """Why grants were not believed, for people."""


def weigh(
    hello: Hello, *, mesh_id: MeshId, now_wall: float, revoked: Collection[str] = frozenset()
) -> Standing:
    """Check the grants in a hello and keep the roles that are allowed."""
    granted: set[Role] = set()
    rejected: list[str] = []
    for encoded in hello.grants:
        try:
            grant = decode_grant(encoded)
            granted.update(
                check_grant(
                    grant,
                    mesh_id=mesh_id,
                    node_id=hello.node_id,
                    now_wall=now_wall,
                    revoked=revoked,
                )
            )
        except RecordRejected as error:
            rejected.append(str(error))
    roles = tuple(role for role in hello.roles if role in granted or role not in GRANTED_ROLES)
    return Standing(roles, frozenset(granted), tuple(rejected))
