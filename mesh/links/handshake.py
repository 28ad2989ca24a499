"""Who is there: the two proofs and the two hellos at the start of a link, sans-I/O.

    dialler                                   dialled
       ── TLS ─────────────────────────────────▶   certificate shows its Ed25519 key
       ◀──────────────────────── CHALLENGE nonce
       PROOF mesh id, key, signature; HELLO ──▶   checked, then admitted or sent away
       ◀──────────────────────────── HELLO   (or GOAWAY with the reason)

The signature covers the dialled side's certificate key, the nonce and the dialler's own key, so it
is worthless on another link. Nothing but these frames is looked at before both proofs.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from typing import Any

from mesh.errors import HandshakeError, WireError
from mesh.identity.keys import NodeKey
from mesh.identity.signing import sign, verify
from mesh.ids import MeshId, NodeId, node_id_of
from mesh.wire.frames import (
    CHALLENGE,
    GOAWAY,
    HELLO,
    NONCE_SIZE,
    PROOF,
    GoawayCode,
    cut_reason,
    encode_frame,
)
from mesh.wire.hello import Hello, common_version, hello_fields, parse_hello

PURPOSE = "link"

Introduce = Callable[[NodeId], Hello]
"""This node's hello for a peer that has proved its key."""
Admit = Callable[[Hello, Hello], None]
"""Decides about a peer that has proved its key, given its hello and ours. Raises Refused."""


class Refused(HandshakeError):
    """This side does not want the link. `code` is a GoawayCode, sent to the other end."""

    def __init__(self, code: GoawayCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class TurnedAway(HandshakeError):
    """The other end does not want the link. `code` is what it said."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"the other end refused: {reason}" if reason else "refused")
        self.code = code


class DiallerHandshake:
    """The end that dialled. Feed it frames until `hello` is there."""

    def __init__(
        self, key: NodeKey, *, expected: NodeId | None, introduce: Introduce, admit: Admit
    ) -> None:
        self._key = key
        self._expected = expected
        self._introduce = introduce
        self._admit = admit
        self._peer_key = b""
        self.own: Hello | None = None
        """What this side said; None before it proved itself."""
        self.hello: Hello | None = None
        """What the other end said; set when the handshake is over."""

    def start(self, peer_key: bytes) -> bytes:
        """TLS is up and the other end has proved this key. Raises HandshakeError."""
        node = node_id_of(peer_key)
        if self._expected is not None and not hmac.compare_digest(node, self._expected):
            raise HandshakeError(f"another node answered: {node}")
        self._peer_key = peer_key
        return b""

    def receive(self, frame: list[Any]) -> bytes:
        """Bytes to send in answer. Raises HandshakeError or WireError."""
        match frame[0]:
            case number if number == CHALLENGE and self.own is None:
                return self._prove(frame[1])
            case number if number == HELLO and self.own is not None:
                return self._meet(self.own, parse_hello(frame[1]))
            case number if number == GOAWAY:
                raise turned_away(frame)
        raise WireError(f"frame {frame[0]} has no place in the handshake")

    def _prove(self, nonce: Any) -> bytes:
        if not isinstance(nonce, bytes) or len(nonce) != NONCE_SIZE:
            raise WireError("the challenge has the wrong size")
        own = self.own = self._introduce(node_id_of(self._peer_key))
        payload = self._peer_key + nonce + own.public_key
        signature = sign(self._key, PURPOSE, own.mesh_id, payload)
        proof = encode_frame(PROOF, own.mesh_id, own.public_key, signature)
        return proof + encode_frame(HELLO, hello_fields(own))

    def _meet(self, own: Hello, hello: Hello) -> bytes:
        if hello.public_key != self._peer_key:
            raise HandshakeError("the other end's hello names another key than it proved")
        _check_hello(own, hello)
        self._admit(hello, own)
        self.hello = hello
        return b""


class DialledHandshake:
    """The end that was dialled. It shows its hello only to a proved member of its mesh."""

    def __init__(
        self, key: NodeKey, mesh_id: MeshId, *, introduce: Introduce, admit: Admit
    ) -> None:
        self._key = key
        self._mesh_id = mesh_id
        self._introduce = introduce
        self._admit = admit
        self._nonce = secrets.token_bytes(NONCE_SIZE)
        self._proved_key: bytes | None = None
        self.own: Hello | None = None
        self.hello: Hello | None = None

    def start(self, peer_key: bytes) -> bytes:
        """TLS is up: send the challenge. `peer_key` is empty, the dialler shows no certificate."""
        return encode_frame(CHALLENGE, self._nonce)

    def receive(self, frame: list[Any]) -> bytes:
        """Bytes to send in answer. Raises Refused, HandshakeError or WireError."""
        match frame[0]:
            case number if number == PROOF and self._proved_key is None:
                self._check(frame)
                return b""
            case number if number == HELLO and self._proved_key is not None:
                return self._meet(parse_hello(frame[1]))
            case number if number == GOAWAY:
                raise turned_away(frame)
        raise WireError(f"frame {frame[0]} has no place in the handshake")

    def _check(self, frame: list[Any]) -> None:
        if len(frame) < 4 or not all(type(field) is bytes for field in frame[2:4]):
            raise WireError("the proof is malformed")
        _, mesh_id, public_key, signature = frame[:4]
        if mesh_id != self._mesh_id:
            raise wrong_mesh(self._mesh_id)
        payload = self._key.public_key + self._nonce + public_key
        if not verify(public_key, PURPOSE, self._mesh_id, payload, signature):
            raise Refused(GoawayCode.BAD_PROOF, "the proof of the node's key is wrong")
        self._proved_key = public_key

    def _meet(self, hello: Hello) -> bytes:
        if hello.public_key != self._proved_key:
            raise Refused(GoawayCode.BAD_PROOF, "hello names another key than was proved")
        own = self._introduce(hello.node_id)
        _check_hello(own, hello)
        self._admit(hello, own)
        self.own, self.hello = own, hello
        return encode_frame(HELLO, hello_fields(own))


Handshake = DiallerHandshake | DialledHandshake


def turned_away(frame: list[Any]) -> TurnedAway:
    """What a GOAWAY during the handshake means. The text is the peer's: cut and cleaned."""
    code, reason = (frame[1], frame[2]) if len(frame) > 2 else (None, None)
    if not isinstance(code, int) or not isinstance(reason, str):
        raise WireError("a malformed goaway")
    return TurnedAway(code, "".join(c for c in cut_reason(reason) if c.isprintable()))


def wrong_mesh(mesh_id: MeshId) -> Refused:
    """A node of another mesh has no business here."""
    return Refused(GoawayCode.WRONG_MESH, f"this node belongs to mesh {mesh_id}")


def _check_hello(own: Hello, peer: Hello) -> None:
    if peer.mesh_id != own.mesh_id:
        raise wrong_mesh(own.mesh_id)
    if common_version(own.versions, peer.versions) is None:
        spoken = ", ".join(map(str, own.versions))
        raise Refused(GoawayCode.NO_VERSION, f"this node speaks link protocol {spoken} only")
