"""Identifiers: lower-case hexadecimal text, so they read the same in logs, JSON and URLs."""

from __future__ import annotations

import hashlib
import re
from typing import NewType

NodeId = NewType("NodeId", str)
"""First 160 bits of SHA-256 of the node's Ed25519 public key, 40 digits; also its Kademlia id."""

MeshId = NewType("MeshId", str)
"""First 160 bits of SHA-256 of the mesh's Ed25519 root key: 40 hex digits."""

JobId = NewType("JobId", str)
"""32 hex digits drawn by the gateway that accepted the job."""

_HEX40 = re.compile(r"[0-9a-f]{40}")


def hash_key(public_key: bytes) -> str:
    """The 40 hex digits that name a raw 32-byte Ed25519 public key."""
    return hashlib.sha256(public_key).hexdigest()[:40]


def node_id_of(public_key: bytes) -> NodeId:
    """The node id that belongs to a raw 32-byte Ed25519 public key."""
    return NodeId(hash_key(public_key))


def mesh_id_of(root_key: bytes) -> MeshId:
    """The mesh id that belongs to a raw 32-byte Ed25519 root public key."""
    return MeshId(hash_key(root_key))


def parse_node_id(text: str) -> NodeId:
    """Check a node id that came from outside. Raises ValueError unless it is 40 hex digits."""
    if not _HEX40.fullmatch(text):
        raise ValueError(f"a node id is 40 lower-case hex digits, got {text[:60]!r}")
    return NodeId(text)
