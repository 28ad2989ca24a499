"""Signed records: what is believed, and everything that is not."""

from __future__ import annotations

from dataclasses import replace

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.capability import ModelRef, NodeRecord, ServedModel
from mesh.errors import RecordRejected, WireError
from mesh.identity.keys import NodeKey
from mesh.ids import MeshId
from mesh.wire.dht_records import (
    MAX_DHT_BODY,
    MAX_DHT_RECORD,
    DhtRecord,
    open_dht,
    open_offering,
    pack_offering,
    sign_dht,
    table_key,
)
from mesh.wire.records import (
    MAX_NODE_RECORD,
    NODE_RECORD,
    fit_node,
    open_node,
    peek_node,
    seal,
    sign_node,
)

MESH = MeshId("ab" * 20)
OTHER_MESH = MeshId("cd" * 20)
WALL = 1.7e9


def node_record(key: NodeKey, *, models: int = 2, description: str = "") -> NodeRecord:
    served = tuple(
        ServedModel(
            ModelRef(
                name=f"org/model-{number}",
                engine="vllm",
                digest="d" * 64,
                quantisation="q4",
                context=8192,
                modality="text",
                features=("tools", "json"),
                description=description,
            ),
            slots=4,
            speed=31.5,
        )
        for number in range(models)
    )
    return NodeRecord(
        node_id=key.node_id,
        seq=(7 << 32) + 3,
        issued_at=WALL,
        ttl=900.0,
        addresses=("tcp://192.0.2.7:7400", "wss://node.example.org/mesh"),
        roles=("worker", "gateway"),
        state="ready",
        models=served,
        version="0.1.0",
    )


def dht_record(signer: NodeKey, **changes: object) -> DhtRecord:
    record = node_record(signer)
    return replace(
        DhtRecord(
            kind="model",
            key=table_key("model", "org/model-1"),
            node=signer.node_id,
            seq=5,
            issued_at=WALL,
            ttl=1800.0,
            body=pack_offering("org/model-1", record, record.models[1]),
        ),
        **changes,  # type: ignore[arg-type]
    )


def test_a_node_record_comes_back_as_it_was_signed(key: NodeKey) -> None:
    signed = sign_node(key, MESH, node_record(key))
    assert open_node(signed.data, MESH, WALL + 3600) == signed
    assert peek_node(signed.data) == (key.node_id, signed.record.seq)


def test_a_record_of_another_mesh_is_refused(key: NodeKey) -> None:
    signed = sign_node(key, MESH, node_record(key))
    with pytest.raises(RecordRejected, match="another mesh"):
        open_node(signed.data, OTHER_MESH, WALL)


def test_a_record_of_one_kind_is_not_one_of_another(key: NodeKey) -> None:
    data = sign_dht(key, MESH, dht_record(key)).data
    with pytest.raises((RecordRejected, WireError)):
        open_node(data, MESH, WALL)


def test_a_record_that_names_another_node_is_refused(key: NodeKey, other_key: NodeKey) -> None:
    forged = sign_node(key, MESH, node_record(other_key))
    with pytest.raises(RecordRejected, match="another node's key"):
        open_node(forged.data, MESH, WALL)
    forged_entry = sign_dht(key, MESH, dht_record(other_key))
    with pytest.raises(RecordRejected, match="another node's key"):
        open_dht(forged_entry.data, MESH, WALL)


@given(st.data())
def test_no_changed_byte_goes_unnoticed(data: st.DataObject) -> None:
    key = NodeKey.generate()
    signed = sign_node(key, MESH, node_record(key))
    at = data.draw(st.integers(0, len(signed.data) - 1))
    flip = data.draw(st.integers(1, 255))
    changed = bytearray(signed.data)
    changed[at] ^= flip
    with pytest.raises((RecordRejected, WireError)):
        open_node(bytes(changed), MESH, WALL)


@pytest.mark.parametrize("hours", [-25, 25])
def test_clocks_may_differ_by_a_day_and_no_more(key: NodeKey, hours: int) -> None:
    signed = sign_node(key, MESH, node_record(key))
    open_node(signed.data, MESH, WALL + (hours - 2 * (hours > 0) + 2 * (hours < 0)) * 3600)
    with pytest.raises(RecordRejected, match="clock"):
        open_node(signed.data, MESH, WALL + hours * 3600)


@pytest.mark.parametrize("ttl", [0.0, 3601.0, 1e12])
def test_a_ttl_beyond_its_cap_is_refused(key: NodeKey, ttl: float) -> None:
    signed = sign_node(key, MESH, replace(node_record(key), ttl=ttl))
    with pytest.raises(RecordRejected, match="wants to live"):
        open_node(signed.data, MESH, WALL)
    entry = sign_dht(key, MESH, dht_record(key, ttl=ttl))
    with pytest.raises(RecordRejected, match="wants to live"):
        open_dht(entry.data, MESH, WALL)


def test_a_record_that_is_too_large_is_neither_made_nor_opened(key: NodeKey) -> None:
    with pytest.raises(WireError, match="at most 8192 fit"):
        sign_node(key, MESH, node_record(key, models=200))
    large = seal(key, MESH, NODE_RECORD, b"x" * 9000, most=10_000)
    with pytest.raises(WireError, match="at most 8192 may"):
        open_node(large, MESH, WALL)
    with pytest.raises(WireError, match="at most 1000 fit"):
        sign_dht(key, MESH, dht_record(key, body=b"x" * (MAX_DHT_BODY + 1)))
    with pytest.raises(WireError):
        open_dht(b"\x93" + b"x" * MAX_DHT_RECORD, MESH, WALL)


def test_fitting_drops_descriptions_before_models(key: NodeKey) -> None:
    wordy = fit_node(key, MESH, node_record(key, models=30, description="w" * 250))
    assert len(wordy.record.models) == 30
    assert all(not served.ref.description for served in wordy.record.models)
    many = fit_node(key, MESH, node_record(key, models=300))
    assert 40 <= len(many.record.models) < 300
    assert len(many.data) <= MAX_NODE_RECORD
    assert many.record.models == node_record(key, models=300).models[: len(many.record.models)]


def test_what_a_newer_version_adds_is_left_out_not_refused(key: NodeKey) -> None:
    record = node_record(key)
    parts = msgpack.unpackb(msgpack.unpackb(sign_node(key, MESH, record).data)[0])
    parts[5].append("oracle")
    parts[6] = "meditating"
    parts[7][0][5] = "smell"
    parts[7][1][6].append("telepathy")
    parts.append({"more": 1})
    data = seal(key, MESH, NODE_RECORD, msgpack.packb(parts), most=MAX_NODE_RECORD)
    opened = open_node(data, MESH, WALL).record
    assert opened.roles == record.roles
    assert opened.state == "degraded"
    assert opened.models == record.models[1:]


@given(st.binary(max_size=400))
def test_garbage_is_malformed_and_nothing_worse(data: bytes) -> None:
    for opened in (open_node, open_dht):
        with pytest.raises((WireError, RecordRejected)):
            opened(data, MESH, WALL)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.binary(),
        lambda inner: st.lists(inner, max_size=10),
        max_leaves=30,
    )
)
def test_well_signed_nonsense_is_malformed_and_nothing_worse(content: object) -> None:
    key = NodeKey.generate()
    data = seal(key, MESH, NODE_RECORD, msgpack.packb(content), most=MAX_NODE_RECORD)
    with pytest.raises((WireError, RecordRejected)):
        open_node(data, MESH, WALL)


def test_a_table_record_tells_the_node_and_its_one_model(key: NodeKey) -> None:
    signed = open_dht(sign_dht(key, MESH, dht_record(key)).data, MESH, WALL)
    node = open_offering(signed.record)
    wanted = node_record(key)
    assert node.node_id == key.node_id
    assert node.addresses == wanted.addresses
    assert node.models == wanted.models[1:]


def test_a_table_record_under_a_foreign_key_is_refused(key: NodeKey) -> None:
    moved = dht_record(key, key=table_key("model", "something popular"))
    signed = open_dht(sign_dht(key, MESH, moved).data, MESH, WALL)
    with pytest.raises(RecordRejected, match="does not belong"):
        open_offering(signed.record)


def test_long_addresses_are_left_out_of_a_table_record(key: NodeKey) -> None:
    record = replace(node_record(key), addresses=tuple(f"wss://{'n' * 200}{i}/" for i in range(8)))
    body = pack_offering("org/model-0", record, record.models[0])
    assert len(body) <= MAX_DHT_BODY
    entry = dht_record(key, key=table_key("model", "org/model-0"), body=body)
    assert open_offering(entry).addresses == record.addresses[:4]


def test_a_withdrawn_record_has_no_body(key: NodeKey) -> None:
    assert dht_record(key, body=b"").withdrawn
    assert not dht_record(key).withdrawn
