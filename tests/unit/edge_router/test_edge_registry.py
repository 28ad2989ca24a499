"""What an edge router remembers, hands out and forgets."""

from __future__ import annotations

from random import Random

import pytest

from edge_router.registry import (
    LIFETIME,
    MAX_MESHES,
    MAX_PER_MESH,
    MAX_PER_PREFIX,
    PROBE_EVERY,
    SEEDS,
    Full,
    Registry,
    prefix_of,
)
from mesh.ids import MeshId, NodeId
from mesh.wire.edge import Seed

MESH, OTHER = MeshId("aa" * 20), MeshId("bb" * 20)
NOBODY = NodeId("ff" * 20)


def node(number: int) -> NodeId:
    return NodeId(f"{number:040x}")


def put(
    registry: Registry, number: int, source: str, *, mesh: MeshId = MESH, now: float = 0
) -> None:
    registry.put(mesh, Seed(node(number), (f"tcp://{source}:{7000 + number}",)), 1, source, now)


def seeds(registry: Registry, asker: NodeId = NOBODY, mesh: MeshId = MESH) -> set[int]:
    return {int(seed.node, 16) for seed in registry.seeds(mesh, asker, Random(0))}


def test_the_asker_is_never_among_the_seeds() -> None:
    registry = Registry()
    for number in range(3):
        put(registry, number, "192.0.2.1")
    assert seeds(registry, node(1)) == {0, 2}


def test_meshes_do_not_see_each_other() -> None:
    registry = Registry()
    put(registry, 1, "192.0.2.1")
    put(registry, 2, "192.0.2.1", mesh=OTHER)
    assert seeds(registry) == {1}
    assert seeds(registry, mesh=OTHER) == {2}
    assert seeds(registry, mesh=MeshId("cc" * 20)) == set()


def test_seeds_come_from_as_many_networks_as_can_be() -> None:
    registry = Registry()
    for number in range(50):
        put(registry, number, "192.0.2.1")
    for number in range(50, 53):
        put(registry, number, f"198.51.{number}.1")
    for _ in range(20):
        found = seeds(registry)
        assert len(found) == SEEDS
        assert {50, 51, 52} <= found


def test_one_network_cannot_fill_the_list() -> None:
    registry = Registry()
    for number in range(MAX_PER_PREFIX):
        put(registry, number, f"192.0.2.{number}")
    with pytest.raises(Full, match="your network"):
        put(registry, 9999, "192.0.2.200")
    put(registry, 5, "192.0.2.5")
    put(registry, 9999, "192.0.3.1")
    assert len(registry) == MAX_PER_PREFIX + 1


def test_meshes_and_nodes_of_a_mesh_are_bounded() -> None:
    registry = Registry()
    for number in range(MAX_PER_MESH):
        put(registry, number, f"10.{number // 200}.{number % 200}.1")
    with pytest.raises(Full, match="nodes of this mesh"):
        put(registry, 100_000, "192.0.2.1")
    for number in range(MAX_MESHES - 1):
        put(registry, 1, f"11.0.{number}.1", mesh=MeshId(f"{number:040x}"))
    with pytest.raises(Full, match="meshes"):
        put(registry, 1, "192.0.2.1", mesh=MeshId("dd" * 20))


def test_a_node_that_fails_is_not_handed_out_and_soon_forgotten() -> None:
    registry = Registry()
    put(registry, 1, "192.0.2.1")
    assert [each.seed.node for each in registry.due(PROBE_EVERY)] == [node(1)]
    registry.probed(MESH, node(1), False, PROBE_EVERY)
    assert seeds(registry) == set()
    assert registry.due(PROBE_EVERY + 1) == []
    registry.probed(MESH, node(1), True, 2 * PROBE_EVERY)
    assert seeds(registry) == {1}
    registry.probed(MESH, node(1), False, 3 * PROBE_EVERY)
    registry.probed(MESH, node(1), False, 4 * PROBE_EVERY)
    assert (len(registry), registry.meshes) == (0, 0)


def test_an_announcement_ends_unless_it_is_repeated() -> None:
    registry = Registry()
    put(registry, 1, "192.0.2.1")
    put(registry, 2, "192.0.2.1", now=1000)
    registry.expire(LIFETIME)
    assert seeds(registry) == {2}


def test_an_older_record_is_a_replay() -> None:
    registry = Registry()
    registry.put(MESH, Seed(node(1), ()), 7, "192.0.2.1", 0)
    assert registry.is_replay(MESH, node(1), 6)
    assert not registry.is_replay(MESH, node(1), 7)
    assert not registry.is_replay(OTHER, node(1), 1)


@pytest.mark.parametrize(
    ("source", "prefix"),
    [("192.0.2.77", "192.0.2.0/24"), ("2001:db8:1:2::3", "2001:db8:1::/48")],
)
def test_networks_are_counted_by_their_prefix(source: str, prefix: str) -> None:
    assert prefix_of(source) == prefix
