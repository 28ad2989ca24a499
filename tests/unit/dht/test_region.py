"""The region of a key, and the size of the mesh it is made from."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dht.contact import Contact, contact_at
from dht.region import REGION, MeshSize, entries, in_region, region_bits
from mesh.ids import NodeId


def nodes(rng: Random, count: int) -> list[Contact]:
    return [Contact(NodeId(f"{rng.getrandbits(160):040x}")) for _ in range(count)]


@pytest.mark.parametrize("count", [30, 500, 20_000])
def test_the_size_is_estimated_from_how_near_the_nearest_are(count: int) -> None:
    rng = Random(count)
    mesh, size = nodes(rng, count), MeshSize()
    for _ in range(9):
        size.observe(rng.randbytes(20), mesh)
    assert count / 1.6 <= size.nodes(0) <= count * 1.6


def test_a_crowd_around_some_places_changes_little() -> None:
    rng = Random(3)
    mesh, size = nodes(rng, 500), MeshSize()
    for number in range(9):
        place = rng.randbytes(20)
        crowd = [contact_at(place[:10] + rng.randbytes(10)) for _ in range(50)]
        size.observe(place, mesh + crowd if number % 3 == 0 else mesh)
    assert 250 <= size.nodes(0) <= 1000


def test_it_is_never_smaller_than_what_is_known() -> None:
    size = MeshSize()
    assert size.nodes(7) == 7
    size.observe(bytes(20), [contact_at(bytes(19) + b"\1")])
    assert size.nodes(0) == 1


@given(st.floats(1, 1e9))
def test_a_region_holds_enough_nodes_and_at_most_twice_as_many(count: float) -> None:
    expected = count / 2 ** region_bits(count)
    assert expected >= min(count, REGION)
    assert expected < 2 * REGION


@given(st.binary(min_size=20, max_size=20), st.integers(0, 150), st.integers(0, 2**32).map(Random))
def test_entries_lie_in_the_region_and_apart_from_the_key(
    key: bytes, bits: int, rng: Random
) -> None:
    half, quarter = (contact_at(each) for each in entries(key, bits, 2, rng))
    assert in_region(half, key, bits)
    assert not in_region(half, key, bits + 1)
    assert in_region(quarter, key, bits + 1)
    assert not in_region(quarter, key, bits + 2)
