"""Handshakes between two ends in memory, with real TLS: who gets in, and who does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mesh.errors import HandshakeError, WireError
from mesh.identity.keys import NodeKey
from mesh.identity.mesh import mesh_of_network
from mesh.ids import MeshId, NodeId
from mesh.links.handshake import (
    DialledHandshake,
    DiallerHandshake,
    Refused,
    TurnedAway,
)
from mesh.links.tls import TlsChannel, TlsIdentity
from mesh.wire.frames import (
    CHALLENGE,
    GOAWAY,
    HELLO,
    OPEN,
    PROOF,
    FrameDecoder,
    GoawayCode,
    encode_frame,
)
from mesh.wire.hello import Hello, hello_fields, parse_hello

MESH = mesh_of_network("handshake")
A, B = NodeKey.generate(), NodeKey.generate()


def hello_of(key: NodeKey, mesh_id: MeshId = MESH, **changes: Any) -> Hello:
    hello = Hello(
        mesh_id=mesh_id,
        public_key=key.public_key,
        boot_counter=3,
        boot_id="ab",
        versions=(1,),
        roles=("worker",),
        addresses=("tcp://h:1",),
        software="electrons 1",
        link_number=4,
    )
    return replace(hello, **changes)


def admit_all(hello: Hello, own: Hello) -> None:
    pass


def dialler(
    key: NodeKey = A,
    *,
    expected: NodeId | None = None,
    hello: Hello | None = None,
    admit: Callable[[Hello, Hello], None] = admit_all,
) -> DiallerHandshake:
    said = hello or hello_of(key)
    return DiallerHandshake(key, expected=expected, introduce=lambda _: said, admit=admit)


def dialled(
    key: NodeKey = B,
    *,
    hello: Hello | None = None,
    admit: Callable[[Hello, Hello], None] = admit_all,
) -> DialledHandshake:
    said = hello or hello_of(key)
    return DialledHandshake(key, said.mesh_id, introduce=lambda _: said, admit=admit)


def frames(data: bytes) -> list[list[Any]]:
    return FrameDecoder().feed(data)


def shake(near: DiallerHandshake, far: DialledHandshake, far_key: NodeKey = B) -> None:
    """Carry frames to and fro until both are done."""
    near.start(far_key.public_key)
    to_near = far.start(b"")
    while to_near:
        to_far = b"".join(near.receive(frame) for frame in frames(to_near))
        to_near = b"".join(far.receive(frame) for frame in frames(to_far))


def test_both_ends_learn_who_the_other_is() -> None:
    near, far = dialler(expected=B.node_id), dialled()
    shake(near, far)
    assert near.hello == hello_of(B)
    assert far.hello == hello_of(A)


def test_the_wrong_node_is_noticed_before_anything_is_said() -> None:
    near = dialler(expected=NodeKey.generate().node_id)
    with pytest.raises(HandshakeError, match=f"another node answered: {B.node_id}"):
        near.start(B.public_key)


def test_a_node_of_another_mesh_is_turned_away() -> None:
    with pytest.raises(Refused, match=f"belongs to mesh {MESH}") as refused:
        shake(dialler(hello=hello_of(A, mesh_of_network("other"))), dialled())
    assert refused.value.code == GoawayCode.WRONG_MESH


def test_a_dialled_node_of_another_mesh_is_noticed() -> None:
    far = dialled()
    near = dialler()
    near.start(B.public_key)
    (challenge,) = frames(far.start(b""))
    near.receive(challenge)
    with pytest.raises(Refused, match="belongs to mesh"):
        near.receive([HELLO, hello_fields(hello_of(B, mesh_of_network("other")))])


def test_versions_must_meet() -> None:
    with pytest.raises(Refused, match="speaks link protocol 1 only") as refused:
        shake(dialler(hello=hello_of(A, versions=(2, 3))), dialled())
    assert refused.value.code == GoawayCode.NO_VERSION


def proof_of(near: DiallerHandshake, far: DialledHandshake, key: NodeKey = B) -> list[list[Any]]:
    near.start(key.public_key)
    (challenge,) = frames(far.start(b""))
    return frames(near.receive(challenge))


def test_a_recorded_proof_is_worthless_in_the_next_handshake() -> None:
    proof, _ = proof_of(dialler(), dialled())
    replayed = dialled()
    replayed.start(b"")
    with pytest.raises(Refused, match="proof of the node's key is wrong"):
        replayed.receive(proof)


def test_a_proof_passed_on_by_a_middleman_is_worthless() -> None:
    middleman = NodeKey.generate()
    victim = dialled()
    (challenge,) = frames(victim.start(b""))
    lured = dialler()
    lured.start(middleman.public_key)  # A dialled the middleman, who shows it B's challenge
    proof, _ = frames(lured.receive(challenge))
    with pytest.raises(Refused, match="proof"):
        victim.receive(proof)


@pytest.mark.parametrize("position", [1, 2, 3])
def test_a_changed_proof_is_refused(position: int) -> None:
    far = dialled()
    proof, _ = proof_of(dialler(), far)
    value = proof[position]
    proof[position] = "0" * 40 if isinstance(value, str) else bytes([value[0] ^ 1]) + value[1:]
    with pytest.raises(Refused):
        far.receive(proof)


def test_hello_must_name_the_proved_key() -> None:
    far = dialled()
    proof, _ = proof_of(dialler(), far)
    far.receive(proof)
    with pytest.raises(Refused, match="another key"):
        far.receive([HELLO, hello_fields(hello_of(NodeKey.generate()))])

    near = dialler()
    proof_of(near, dialled())
    with pytest.raises(HandshakeError, match="another key"):
        near.receive([HELLO, hello_fields(hello_of(A))])


def test_nothing_else_is_looked_at_before_the_proofs() -> None:
    early: list[list[Any]] = [
        [HELLO, hello_fields(hello_of(A))],
        [OPEN, 1, 1, 1],
        [99, 1],
    ]
    for frame in early:
        far = dialled()
        far.start(b"")
        with pytest.raises(WireError, match="no place in the handshake"):
            far.receive(frame)
        near = dialler()
        near.start(B.public_key)
        with pytest.raises(WireError, match="no place in the handshake"):
            near.receive(frame)


def test_proofs_and_challenges_come_once() -> None:
    near, far = dialler(), dialled()
    proof, _ = proof_of(near, far)
    with pytest.raises(WireError):
        near.receive([CHALLENGE, bytes(32)])
    far.receive(proof)
    with pytest.raises(WireError):
        far.receive(proof)


@pytest.mark.parametrize(
    "frame",
    [[CHALLENGE, b"short"], [CHALLENGE, None], [GOAWAY, "x", 5], [GOAWAY, 1]],
)
def test_malformed_frames_to_the_dialler(frame: list[Any]) -> None:
    near = dialler()
    near.start(B.public_key)
    with pytest.raises(WireError):
        near.receive(frame)


@pytest.mark.parametrize("frame", [[PROOF, 1], [PROOF, MESH, "x", b""], [PROOF, None, 0, 0]])
def test_malformed_proofs(frame: list[Any]) -> None:
    far = dialled()
    far.start(b"")
    with pytest.raises(WireError, match="malformed"):
        far.receive(frame)


def test_being_turned_away_is_told_in_clean_words() -> None:
    near = dialler()
    near.start(B.public_key)
    with pytest.raises(TurnedAway, match="refused: full up") as turned:
        near.receive([GOAWAY, int(GoawayCode.BUSY), "full\x1b[31m up".replace("[31m", "")])
    assert turned.value.code == GoawayCode.BUSY


def test_whoever_admits_has_the_last_word() -> None:
    def refuse(hello: Hello, own: Hello) -> None:
        assert hello.node_id == A.node_id
        raise Refused(GoawayCode.BUSY, "full")

    far = dialled(admit=refuse)
    with pytest.raises(Refused, match="full"):
        shake(dialler(), far)
    assert far.hello is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("key", b"short"),
        ("key", None),
        ("boot", -1),
        ("boot", True),
        ("boot", 2**60),
        ("boot_id", "x" * 33),
        ("boot_id", "a\nb"),
        ("mesh", 5),
        ("versions", "1"),
        ("versions", list(range(9))),
        ("versions", ["1"]),
        ("roles", [["worker"]]),
        ("roles", ["worker"] * 17),
        ("grants", ["text"]),
        ("grants", [b"x" * 1025]),
        ("grants", [b"x"] * 5),
        ("addresses", [5]),
        ("addresses", ["x" * 257]),
        ("addresses", ["x"] * 17),
        ("software", "x" * 65),
        ("link", 1.5),
    ],
)
def test_every_field_of_a_hello_is_checked(name: str, value: object) -> None:
    fields = hello_fields(hello_of(A))
    assert parse_hello(fields).node_id == A.node_id
    with pytest.raises(WireError, match="hello"):
        parse_hello({**fields, name: value})


def test_newer_fields_and_roles_are_ignored() -> None:
    fields = {**hello_fields(hello_of(A)), "new": [{}], "roles": ["worker", "emperor", "worker"]}
    assert parse_hello(fields).roles == ("worker",)
    assert parse_hello({**fields, "roles": []}).roles == ()
    with pytest.raises(WireError):
        parse_hello([fields])


# ── TLS ─────────────────────────────────────────────────────────────────────────────────────────


def tls_pair() -> tuple[TlsChannel, TlsChannel]:
    return TlsIdentity(A).channel(dialler=True), TlsIdentity(B).channel(dialler=False)


def connect(near: TlsChannel, far: TlsChannel) -> None:
    data = near.start()
    while data:
        far.receive(data)
        near.receive(far.pending_output())
        data = near.pending_output()
    assert near.established
    assert far.established


def test_tls_carries_bytes_and_shows_the_dialled_key() -> None:
    near, far = tls_pair()
    connect(near, far)
    assert near.peer_key() == B.public_key
    sealed = near.write(b"x" * 100_000)
    assert b"x" * 20 not in sealed
    received = b"".join(far.receive(sealed[i : i + 999]) for i in range(0, len(sealed), 999))
    assert received == b"x" * 100_000
    assert near.receive(far.write(b"back")) == b"back"


def test_a_goodbye_is_told_from_a_crash() -> None:
    near, far = tls_pair()
    connect(near, far)
    assert far.receive(near.write(b"last") + near.goodbye()) == b"last"
    assert far.ended
    assert not near.ended


def test_changed_ciphertext_is_noticed() -> None:
    near, far = tls_pair()
    connect(near, far)
    sealed = bytearray(near.write(b"pay 1"))
    sealed[-1] ^= 1
    with pytest.raises(HandshakeError, match="broken"):
        far.receive(bytes(sealed))


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"x" * 999]
)
def test_what_is_no_tls_is_refused(data: bytes) -> None:
    _, far = tls_pair()
    with pytest.raises(HandshakeError, match="TLS failed"):
        far.receive(data)
        far.receive(b"\0" * 20_000)


def test_a_proof_frame_is_small() -> None:
    proof = encode_frame(PROOF, MESH, A.public_key, bytes(64))
    assert len(proof) < 200
