"""Signatures mean one thing in one mesh; grants are believed only along their chain."""

from __future__ import annotations

from dataclasses import replace

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.capability import Role
from mesh.errors import HandshakeError, RecordRejected
from mesh.identity.certificate import certificate_key
from mesh.identity.grants import (
    CLOCK_TOLERANCE,
    MAX_GRANT,
    Grant,
    check_grant,
    decode_grant,
    encode_grant,
    issue_grant,
)
from mesh.identity.keys import NodeKey, RootKey
from mesh.identity.signing import sign, verify
from mesh.ids import MeshId, NodeId

ROOT, OTHER_ROOT = RootKey.generate(), RootKey.generate()
COORDINATOR, NODE, STRANGER = NodeKey.generate(), NodeKey.generate(), NodeKey.generate()
NOW, EXPIRY = 1_000_000.0, 2_000_000.0
MESH = ROOT.mesh_id


def grant_of(
    key: NodeKey | RootKey,
    node: NodeKey,
    *roles: Role,
    issuer: Grant | None = None,
    mesh_id: MeshId = MESH,
    not_after: float = EXPIRY,
) -> Grant:
    return issue_grant(
        key, mesh_id=mesh_id, node_id=node.node_id, roles=roles, not_after=not_after, issuer=issuer
    )


COORDINATOR_GRANT = grant_of(ROOT, COORDINATOR, "coordinator", "relay")


def check(grant: Grant, node: NodeKey = NODE, now: float = NOW) -> tuple[Role, ...]:
    return check_grant(grant, mesh_id=MESH, node_id=node.node_id, now_wall=now)


@pytest.mark.parametrize(
    ("purpose", "mesh_id", "payload", "signer"),
    [
        ("hello", MESH, b"data", NODE),
        ("record", OTHER_ROOT.mesh_id, b"data", NODE),
        ("record", MESH, b"datb", NODE),
        ("record", MESH, b"data", STRANGER),
    ],
    ids=["purpose", "mesh", "payload", "signer"],
)
def test_a_signature_is_worthless_elsewhere(
    purpose: str, mesh_id: MeshId, payload: bytes, signer: NodeKey
) -> None:
    signature = sign(NODE, "record", MESH, b"data")
    assert verify(NODE.public_key, "record", MESH, b"data", signature)
    assert not verify(signer.public_key, purpose, mesh_id, payload, signature)


@given(key=st.binary(max_size=40), signature=st.binary(max_size=80))
def test_foreign_bytes_never_verify_and_never_raise(key: bytes, signature: bytes) -> None:
    assert not verify(key, "record", MESH, b"", signature)


def test_parts_cannot_be_shifted_between_purpose_and_payload() -> None:
    with pytest.raises(ValueError, match="NUL"):
        sign(NODE, "a\0b", MESH, b"")


def test_the_root_grants_any_role() -> None:
    assert check(grant_of(ROOT, NODE, "relay", "coordinator")) == ("relay", "coordinator")


def test_a_coordinator_grants_for_the_root() -> None:
    grant = grant_of(COORDINATOR, NODE, "gateway", "relay", issuer=COORDINATOR_GRANT)
    assert check(grant) == ("gateway", "relay")
    assert check(decode_grant(encode_grant(grant))) == ("gateway", "relay")
    assert len(encode_grant(grant)) <= MAX_GRANT


def chained(issuer: Grant, *roles: Role) -> Grant:
    return grant_of(COORDINATOR, NODE, *roles, issuer=issuer)


RELAY_ONLY = grant_of(ROOT, COORDINATOR, "relay")
EXPIRED_ISSUER = grant_of(ROOT, COORDINATOR, "coordinator", not_after=NOW - 1000)
SECOND_HAND = grant_of(COORDINATOR, STRANGER, "coordinator", issuer=COORDINATOR_GRANT)


@pytest.mark.parametrize(
    ("grant", "reason"),
    [
        (grant_of(ROOT, STRANGER, "relay"), "another node"),
        (grant_of(ROOT, NODE, "relay", mesh_id=OTHER_ROOT.mesh_id), "another mesh"),
        (grant_of(OTHER_ROOT, NODE, "relay"), "not this mesh's root"),
        (grant_of(STRANGER, NODE, "relay"), "not this mesh's root"),
        (grant_of(ROOT, NODE, "relay", not_after=NOW - CLOCK_TOLERANCE - 1), "expired"),
        (replace(grant_of(ROOT, NODE, "relay"), roles=("coordinator",)), "signature is wrong"),
        (replace(grant_of(ROOT, NODE, "relay"), not_after=EXPIRY + 1), "signature is wrong"),
        (replace(grant_of(ROOT, NODE, "relay"), serial="00"), "signature is wrong"),
        (chained(COORDINATOR_GRANT, "coordinator"), "only the root key or an admin"),
        (chained(RELAY_ONLY, "relay"), "no coordinator"),
        (chained(EXPIRED_ISSUER, "relay"), "expired"),
        (grant_of(STRANGER, NODE, "relay", issuer=COORDINATOR_GRANT), "not signed by the node"),
        (grant_of(STRANGER, NODE, "relay", issuer=SECOND_HAND), "not granted by this mesh's root"),
    ],
)
def test_a_bad_grant_is_rejected_with_its_reason(grant: Grant, reason: str) -> None:
    with pytest.raises(RecordRejected, match=reason):
        check(grant)


def test_clocks_may_differ_a_little() -> None:
    grant = grant_of(ROOT, NODE, "relay", not_after=NOW)
    assert check(grant, now=NOW + CLOCK_TOLERANCE - 1) == ("relay",)


def test_revoking_a_coordinator_revokes_what_it_granted() -> None:
    grant = chained(COORDINATOR_GRANT, "relay")
    for serial in (grant.serial, COORDINATOR_GRANT.serial):
        with pytest.raises(RecordRejected, match="revoked"):
            check_grant(grant, mesh_id=MESH, node_id=NODE.node_id, now_wall=NOW, revoked={serial})


@given(st.binary(max_size=200))
def test_decoding_foreign_bytes_only_ever_rejects(data: bytes) -> None:
    with pytest.raises(RecordRejected):
        decode_grant(data)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (0, 5),
        (1, b"x"),
        (2, ["x" * 50]),
        (2, 7),
        (3, float("nan")),
        (3, 5),
        (4, "x" * 33),
        (5, b"short"),
        (6, b"short"),
        (7, [1, 2]),
        (7, "x"),
    ],
)
def test_decoding_checks_every_field(field: int, value: object) -> None:
    fields = msgpack.unpackb(encode_grant(grant_of(ROOT, NODE, "relay")))
    fields[field] = value
    with pytest.raises(RecordRejected, match="cannot be read"):
        decode_grant(msgpack.packb(fields))


def test_chains_do_not_grow() -> None:
    deeper = grant_of(NODE, STRANGER, "relay", issuer=chained(COORDINATOR_GRANT, "relay"))
    with pytest.raises(RecordRejected):
        decode_grant(encode_grant(deeper))


def test_a_certificate_that_is_none_is_refused() -> None:
    for der in (b"", b"\x30\x82", b"garbage"):
        with pytest.raises(HandshakeError):
            certificate_key(der, now_wall=0.0)


def test_an_unknown_role_survives_decoding_but_means_nothing() -> None:
    fields = msgpack.unpackb(encode_grant(grant_of(ROOT, NODE, "relay")))
    fields[2] = ["emperor"]
    with pytest.raises(RecordRejected, match="signature"):
        check(decode_grant(msgpack.packb(fields)))
    assert NodeId(fields[1]) == NODE.node_id
