"""Signatures that mean one thing in one mesh.

What is signed starts with the protocol's name, the purpose and the mesh id, so that a signature
made for one purpose or mesh is worthless for another.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from mesh.identity.keys import PUBLIC_KEY_SIZE, SIGNATURE_SIZE, SigningKey
from mesh.ids import MeshId

PROTOCOL = b"distributed-electrons/1"


def sign(key: SigningKey, purpose: str, mesh_id: MeshId, payload: bytes) -> bytes:
    """A 64-byte Ed25519 signature of the payload for that purpose in that mesh (about 50 us)."""
    return key.sign(_signed_bytes(purpose, mesh_id, payload))


def verify(
    public_key: bytes, purpose: str, mesh_id: MeshId, payload: bytes, signature: bytes
) -> bool:
    """True only for a valid signature; never raises on foreign bytes (about 170 us)."""
    if len(public_key) != PUBLIC_KEY_SIZE or len(signature) != SIGNATURE_SIZE:
        return False
    try:
        key = Ed25519PublicKey.from_public_bytes(public_key)
        key.verify(signature, _signed_bytes(purpose, mesh_id, payload))
    except (InvalidSignature, ValueError):
        return False
    return True


def _signed_bytes(purpose: str, mesh_id: MeshId, payload: bytes) -> bytes:
    if "\0" in purpose or "\0" in mesh_id:
        raise ValueError("a purpose and a mesh id hold no NUL: it separates the parts")
    return b"\0".join((PROTOCOL, purpose.encode(), mesh_id.encode(), payload))
