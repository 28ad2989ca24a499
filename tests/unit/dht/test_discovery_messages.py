"""Messages of the directory and the table: what is sent is read, garbage is refused."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.capability import Load
from mesh.errors import WireError
from mesh.ids import NodeId
from mesh.wire import dht, discovery
from mesh.wire.edge import Seed, decode_seeds, encode_seeds

node_ids = st.binary(min_size=20, max_size=20).map(lambda raw: NodeId(raw.hex()))
seqs = st.integers(0, 2**63 - 1)
ages = st.floats(0, 1800)
losses = st.builds(discovery.Loss, node_ids, seqs, st.none() | node_ids)
addresses = st.lists(st.text(max_size=40), max_size=4).map(tuple)

messages = st.one_of(
    st.builds(
        discovery.Records, st.lists(st.tuples(ages, st.binary(max_size=200)), max_size=5).map(tuple)
    ),
    st.builds(discovery.Lost, st.lists(losses, max_size=5).map(tuple)),
    st.builds(
        discovery.Digest,
        st.binary(min_size=512, max_size=512),
        st.integers(0, discovery.BUCKETS - 1),
    ),
    st.builds(
        discovery.Listing,
        st.lists(
            st.one_of(
                st.builds(discovery.Listed, node_ids, seqs),
                st.builds(discovery.Listed, node_ids, seqs, linked=st.just(True)),
                st.builds(discovery.Listed, node_ids, seqs, lost=st.just(True)),
            ),
            max_size=5,
        ).map(tuple),
        st.none() | st.integers(0, discovery.BUCKETS - 1),
    ),
    st.builds(discovery.Want, st.lists(node_ids, max_size=5).map(tuple)),
    st.builds(
        discovery.LoadReport,
        st.builds(
            Load, st.integers(0, 99), st.integers(0, 99), st.integers(0, 99), st.floats(0, 1e5)
        ),
    ),
)

selves = st.builds(dht.Self, st.booleans(), addresses)
keys = st.binary(min_size=20, max_size=20)
items = st.lists(st.tuples(ages, st.binary(max_size=100)), max_size=5).map(tuple)
contacts = st.lists(st.builds(dht.Address, node_ids, addresses), max_size=5).map(tuple)
requests = st.one_of(
    st.builds(dht.Ping, selves),
    st.builds(dht.FindNodes, selves, keys),
    st.builds(
        dht.FindRecords,
        selves,
        keys,
        st.none() | node_ids,
        st.integers(0, dht.MAX_PAGE),
        st.booleans(),
        st.none() | keys,
    ),
    st.builds(dht.Store, selves, items),
)
answers = st.one_of(
    st.builds(dht.Pong, selves),
    st.builds(dht.Nodes, selves, contacts),
    st.builds(
        dht.Found,
        selves,
        contacts,
        items,
        st.booleans(),
        st.integers(0, 1000),
        st.binary(min_size=8, max_size=8),
    ),
    st.builds(dht.Stored, selves, st.lists(st.booleans(), max_size=5).map(tuple)),
)
nonsense = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**64 - 1) | st.floats() | st.binary() | st.text(),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)


@given(messages)
def test_directory_messages_come_back(message: discovery.DiscoveryMessage) -> None:
    assert discovery.decode(discovery.encode(message)) == message


@given(requests)
def test_table_requests_come_back(request: dht.DhtRequest) -> None:
    assert dht.decode_request(dht.encode(request)) == request


@given(answers)
def test_table_answers_come_back(answer: dht.DhtAnswer) -> None:
    assert dht.decode_answer(dht.encode(answer)) == answer


@given(st.binary(max_size=300))
def test_garbage_is_refused(data: bytes) -> None:
    for decode in (discovery.decode, dht.decode_request, dht.decode_answer):
        with pytest.raises(WireError):
            decode(data)


@given(st.integers(0, 9), st.lists(nonsense, max_size=8))
def test_nonsense_under_a_right_number_is_refused_or_read(number: int, rest: list[object]) -> None:
    data = msgpack.packb([number, *rest])
    for decode in (discovery.decode, dht.decode_request, dht.decode_answer):
        try:
            decode(data)
        except WireError:
            continue


@given(st.integers(1, 6), st.integers(0, 30))
def test_an_unknown_item_at_the_end_is_ignored(number: int, extra: int) -> None:
    message = discovery.Lost((discovery.Loss(NodeId("ab" * 20), 1),))
    parts = msgpack.unpackb(discovery.encode(message))
    assert discovery.decode(msgpack.packb([*parts, *([extra] * number)])) == message


def test_too_much_of_anything_is_refused() -> None:
    many = [bytes(20)] * (discovery.MAX_BATCH + 1)
    with pytest.raises(WireError):
        discovery.decode(msgpack.packb([discovery.WANT, many]))
    with pytest.raises(WireError):
        discovery.decode(b"x" * (discovery.MAX_DISCOVERY_MESSAGE + 1))
    with pytest.raises(WireError):
        discovery.decode(msgpack.packb([discovery.RECORDS, [[3601.0, b"x"]]]))
    with pytest.raises(WireError):
        dht.decode_request(msgpack.packb([dht.STORE, [True, []], [[1.0, b"x" * 3000]]]))


@given(st.lists(st.integers(1, 8192), max_size=80))
def test_a_batch_is_cut_into_messages_that_fit(sizes: list[int]) -> None:
    items = [(1.0, bytes(size)) for size in sizes]
    cut = discovery.pack_records(items)
    assert [item for message in cut for item in message.items] == items
    for message in cut:
        assert len(discovery.encode(message)) <= discovery.MAX_DISCOVERY_MESSAGE


@given(st.lists(st.builds(Seed, node_ids, addresses), max_size=8))
def test_seeds_come_back(seeds: list[Seed]) -> None:
    assert decode_seeds(encode_seeds(seeds)) == tuple(seeds)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"seeds": 3}',
        b'{"seeds": [{"node_id": "x", "addresses": []}]}',
        b"[" * 9999,
    ],
)
def test_seeds_that_are_none_are_refused(body: bytes) -> None:
    with pytest.raises(WireError):
        decode_seeds(body)
