"""Which coordinators to follow. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping

from mesh.ids import NodeId


def choose_coordinators(
    own: NodeId,
    linked: Collection[NodeId],
    followed: Collection[NodeId],
    resting: Mapping[NodeId, float],
    now: float,
    *,
    most: int,
) -> list[NodeId]:
    """Up to `most` linked coordinators: whom it follows already, then in an order of its own.

    `resting` says until when a coordinator that failed is left alone. The order differs from node
    to node, so that they share the coordinators evenly, and stays the same for one node.
    """
    ready = [node for node in linked if resting.get(node, now) <= now]
    ready.sort(key=lambda node: (node not in followed, _order(own, node)))
    return ready[:most]


def _order(own: NodeId, coordinator: NodeId) -> bytes:
    """Rendezvous hashing (Thaler and Ravishankar 1998)."""
    return hashlib.blake2b(f"{own}{coordinator}".encode(), digest_size=8).digest()
