"""Tickets and revocations as attackers may paste or send them."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mesh.identity.grants import issue_grant
from mesh.identity.keys import NodeKey, RootKey
from mesh.identity.revocations import Revoked, sign_revocations
from mesh.identity.ticket import Contact, Ticket, decode_ticket, encode_ticket
from mesh.wire.revocation import Have, Lists, encode, encode_revocations

ROOT = RootKey(Ed25519PrivateKey.from_private_bytes(bytes([3]) * 32))
COORDINATOR = NodeKey(Ed25519PrivateKey.from_private_bytes(bytes([4]) * 32))
GRANT = issue_grant(
    ROOT,
    mesh_id=ROOT.mesh_id,
    node_id=COORDINATOR.node_id,
    roles=["coordinator"],
    not_after=2e9,
)
LIST = encode_revocations(
    sign_revocations(
        COORDINATOR,
        mesh_id=ROOT.mesh_id,
        number=7,
        entries=[Revoked(COORDINATOR.node_id, 2e9, ("ab" * 8,)), Revoked(COORDINATOR.node_id, 2e9)],
        issued_at=1e9,
        issuer=GRANT,
    )
)
MESSAGES = (encode(Have({ROOT.mesh_id: 3, COORDINATOR.node_id: 7})), encode(Lists((LIST,))))
_CONTACT = Contact(COORDINATOR.node_id, ("tcp://10.0.0.1:7718", "wss://mesh.example/mesh"))
TICKET = encode_ticket(
    Ticket(ROOT.public_key, ("worker", "gateway"), (_CONTACT,), 2_000_000_000, bytes(16))
).encode()


def run_ticket(data: bytes) -> str:
    """A pasted line."""
    return f"{len(decode_ticket(data.decode('utf-8', 'replace')).contacts)}"
