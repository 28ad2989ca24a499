"""What the holder of a mesh's root key hands to a node, as one line of text that can be pasted.

A charter is a grant and, for exactly one node of a mesh, the right to found its group of
coordinators. Two groups in one mesh could both acknowledge, so the right is given once: the folder
of the root key remembers to whom.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import msgpack

from mesh.capability import Role
from mesh.errors import RecordRejected
from mesh.identity.grants import (
    MAX_GRANT,
    Grant,
    check_grant,
    decode_grant,
    encode_grant,
    issue_grant,
)
from mesh.identity.keys import SIGNATURE_SIZE, RootKey
from mesh.identity.private_file import read_private, write_private
from mesh.identity.signing import sign, verify
from mesh.ids import MeshId, NodeId, hash_key

PURPOSE = "founding"
PREFIX = "electrons-grant-"
FOUNDER_FILE = "founder"
MAX_TEXT = 2 * (MAX_GRANT + SIGNATURE_SIZE)
"""Characters of a charter as text."""


@dataclass(frozen=True, slots=True)
class Charter:
    """A grant with, for the founder, the root key's signature under its node id."""

    grant: Grant
    founding: bytes = b""

    @property
    def founds(self) -> bool:
        """True when the holder may start the mesh's group of coordinators from nothing."""
        return bool(self.founding)


def write_charter(
    root: RootKey, node_id: NodeId, roles: Collection[Role], not_after: float, *, founder: bool
) -> Charter:
    """Sign a charter until `not_after` (Unix seconds)."""
    mesh_id = root.mesh_id
    grant = issue_grant(root, mesh_id=mesh_id, node_id=node_id, roles=roles, not_after=not_after)
    return Charter(grant, sign(root, PURPOSE, mesh_id, node_id.encode()) if founder else b"")


def check_charter(
    charter: Charter, *, mesh_id: MeshId, node_id: NodeId, now_wall: float
) -> tuple[Role, ...]:
    """The roles it gives. Raises RecordRejected with the reason."""
    grant = charter.grant
    roles = check_grant(grant, mesh_id=mesh_id, node_id=node_id, now_wall=now_wall)
    if charter.founds:
        by_root = hash_key(grant.issuer_key) == mesh_id
        signed = verify(grant.issuer_key, PURPOSE, mesh_id, node_id.encode(), charter.founding)
        if not (by_root and signed):
            raise RecordRejected("the right to found this mesh's coordinators is forged")
    return roles


def encode_charter(charter: Charter) -> str:
    """One line of text without spaces."""
    packed = msgpack.packb([encode_grant(charter.grant), charter.founding])
    return PREFIX + base64.urlsafe_b64encode(packed).decode().rstrip("=")


def decode_charter(text: str) -> Charter:
    """Raises RecordRejected on anything that is not a charter's text. Checks no signature."""
    text = text.strip()
    if not text.startswith(PREFIX) or len(text) > MAX_TEXT:
        raise RecordRejected(f"a grant is one line that starts with {PREFIX}")
    body = text.removeprefix(PREFIX)
    try:
        packed = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
        grant, founding = msgpack.unpackb(packed, max_array_len=2, max_map_len=0)
    except (binascii.Error, ValueError, TypeError):
        raise RecordRejected("the grant is incomplete: copy the whole line") from None
    if not isinstance(grant, bytes) or not isinstance(founding, bytes):
        raise RecordRejected("the grant cannot be read")
    return Charter(decode_grant(grant), founding)


def claim_founding(folder: Path, node_id: NodeId) -> NodeId:
    """Who founds the mesh whose root key is in the folder: this node if nobody was named yet."""
    path, what = folder / FOUNDER_FILE, "the founder's name"
    if write_private(path, node_id.encode(), what, replace=False):
        return node_id
    return NodeId((read_private(path, what) or b"").decode("ascii", "replace").strip())
