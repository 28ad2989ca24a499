"""Messages of a registry stream: what is sent is read, garbage is refused."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.registry.choice import choose_coordinators
from mesh.capability import Load
from mesh.errors import WireError
from mesh.ids import NodeId
from mesh.wire import registry

nodes = st.binary(min_size=20, max_size=20).map(lambda raw: NodeId(raw.hex()))
counts = st.integers(0, 1_000)
loads = st.builds(Load, counts, counts, counts, st.floats(0, 100))
deltas = st.builds(
    registry.Delta,
    st.none() | st.integers(0, 2**60),
    st.lists(st.tuples(st.floats(0, 3_000), st.binary(max_size=99)), max_size=4).map(tuple),
    st.lists(st.tuples(nodes, loads), max_size=4).map(tuple),
    st.lists(st.tuples(nodes, counts), max_size=4).map(tuple),
    st.lists(nodes, max_size=4).map(tuple),
)


@given(deltas)
def test_deltas_survive_the_wire(delta: registry.Delta) -> None:
    assert registry.decode_delta(registry.encode(delta)) == delta


@given(st.binary(max_size=16), st.integers(0, 2**60), st.sampled_from(registry.Scope))
def test_subscriptions_survive_the_wire(run: bytes, version: int, scope: registry.Scope) -> None:
    message = registry.Subscribe(run, version, scope)
    assert registry.decode_subscribe(registry.encode(message)) == message
    opening = registry.Opening(run.ljust(16, b"x"), version % 2 == 0)
    assert registry.decode_opening(registry.encode(opening)) == opening


@pytest.mark.parametrize("decode", ["decode_delta", "decode_subscribe", "decode_opening"])
@given(data=st.binary(max_size=200))
def test_garbage_is_refused(decode: str, data: bytes) -> None:
    with pytest.raises(WireError):
        getattr(registry, decode)(b"\x99" + data)


@pytest.mark.parametrize(
    "parts",
    [
        [registry.DELTA, 1],
        [registry.DELTA, -1, [], [], [], []],
        [registry.DELTA, 1, [[1.0]], [], [], []],
        [registry.DELTA, 1, [], [[bytes(20), 1]], [], []],
        [registry.DELTA, 1, [], [], [[bytes(20)]], []],
        [registry.DELTA, 1, [], [], [], [b"short"]],
        [registry.OPENING, 1, [], [], [], []],
        [registry.DELTA, 1, [], [], [], [bytes(20)] * (registry.MAX_ROWS + 1)],
    ],
)
def test_malformed_deltas_are_refused(parts: list[object]) -> None:
    with pytest.raises(WireError):
        registry.decode_delta(msgpack.packb(parts))


def test_unknown_scopes_are_refused() -> None:
    with pytest.raises(WireError):
        registry.decode_subscribe(msgpack.packb([registry.SUBSCRIBE, b"", 0, 9]))


def test_nodes_share_the_coordinators_and_stay_with_theirs() -> None:
    heads = [NodeId(f"{number:040x}") for number in range(4)]
    chosen = []
    for number in range(400):
        own = NodeId(f"{number:039x}f")
        (first,) = choose_coordinators(own, heads, (), {}, 0.0, most=1)
        assert choose_coordinators(own, heads[::-1], (heads[0],), {}, 0.0, most=1) == [heads[0]]
        (other,) = choose_coordinators(own, heads, (first,), {first: 1.0}, 0.5, most=1)
        assert other != first
        chosen.append(first)
    assert all(60 <= chosen.count(head) <= 140 for head in heads)
