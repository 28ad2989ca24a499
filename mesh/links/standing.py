"""What a peer may do here: its claimed roles weighed against its grants."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mesh.capability import Role
from mesh.identity.grants import GRANTED_ROLES
from mesh.identity.trust import Credentials, Trust
from mesh.wire.hello import Hello


@dataclass(frozen=True, slots=True)
class Standing:
    """A peer's roles as this node believes them."""

    roles: tuple[Role, ...]
    """Claimed, and granted where a grant is needed."""
    granted: frozenset[Role]
    """Roles that a valid grant gives, whether claimed or not; empty: the peer is no member."""
    rejected: tuple[str, ...] = ()
    """Why grants were not believed, for people."""
    until: float = math.inf
    """Unix seconds at which it has to be weighed again, since a grant ends."""


def weigh(hello: Hello, trust: Trust) -> Standing:
    """Check the grants in a hello and keep the roles that are allowed."""
    return standing_of(hello, trust.weigh(hello.node_id, hello.grants))


def standing_of(hello: Hello, credentials: Credentials) -> Standing:
    """The same when the grants were checked already."""
    granted = credentials.granted
    needed = GRANTED_ROLES - granted - credentials.free
    roles = tuple(role for role in hello.roles if role not in needed)
    return Standing(roles, granted, credentials.rejected, credentials.until)
