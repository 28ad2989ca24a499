"""What is known from coordinators beside what the directory holds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from coordinator.registry.known_nodes import GRACE, KnownNodes
from dht.directory import Directory
from mesh.capability import Load, ModelRef, NodeRecord, ServedModel
from mesh.identity.keys import NodeKey
from mesh.ids import MeshId, NodeId
from mesh.lifecycle import Tasks
from mesh.links.memory import MemoryNetwork
from mesh.wire.records import SignedNode

HEAD, OTHER, A, B = (NodeId(digit * 40) for digit in "789a")


class SetClock:
    """Shows the time it was given."""

    at = 0.0

    def now(self) -> float:
        return self.at

    def wall(self) -> float:
        return self.at


def signed(node: NodeId, seq: int = 1) -> SignedNode:
    models = (ServedModel(ModelRef(f"model-{seq}", "demo"), slots=1),)
    return SignedNode(NodeRecord(node, seq, 0.0, 900.0, models=models), f"{node}{seq}".encode())


class Known:
    """Known nodes over an empty directory, and the time."""

    def __init__(self, most: int) -> None:
        key = NodeKey.generate()
        self.clock = SetClock()
        self.directory = Directory(
            key=key,
            mesh_id=MeshId("ab" * 20),
            boot=1,
            links=MemoryNetwork(rng=Random(0)).join(),
            clock=self.clock,
            tasks=Tasks("test"),
        )
        self.nodes = KnownNodes(
            own=key.node_id, directory=self.directory, clock=self.clock, most=most
        )
        self.nodes.opened(HEAD, full=True)

    def seen(self, node: NodeId) -> bool:
        return self.directory.view.peer(node) is not None

    def after(self, seconds: float) -> None:
        self.clock.at += seconds
        self.nodes.tick()


@contextmanager
def known(most: int = 100) -> Iterator[Known]:
    yield Known(most)


def test_a_listed_node_is_routable_with_its_load() -> None:
    with known() as it:
        it.nodes.take(HEAD, signed(A), 900.0)
        it.nodes.loaded(A, Load(in_flight=2))
        (provider,) = it.directory.view.providers("model-1")
        assert provider.peer.load == Load(in_flight=2)
        assert not it.nodes.listed(HEAD, A, 1, 900.0)
        assert it.nodes.listed(HEAD, A, 2, 900.0)
        it.nodes.take(HEAD, signed(A, 2), 900.0)
        assert not it.directory.view.providers("model-1")
        assert it.directory.view.providers("model-2")


def test_a_gateway_believes_its_coordinator_and_a_coordinator_only_a_second_one() -> None:
    with known() as it:
        it.nodes.take(HEAD, signed(A), 900.0)
        it.nodes.take(HEAD, signed(B), 900.0)
        it.nodes.lost(HEAD, A, 1, decided=True)
        assert not it.seen(A)
        it.nodes.lost(HEAD, B, 1, decided=False)
        assert it.seen(B)
        it.nodes.lost(OTHER, B, 1, decided=False)
        assert not it.seen(B)
        it.nodes.listed(HEAD, B, 1, 900.0)
        assert it.seen(B)


def test_who_is_listed_nowhere_goes_after_a_grace_and_not_while_nobody_answers() -> None:
    with known() as it:
        it.nodes.take(HEAD, signed(A), 900.0)
        it.nodes.take(HEAD, signed(B), 900.0)
        it.nodes.caught_up(HEAD)
        it.nodes.ended(HEAD)
        it.after(10 * GRACE)
        assert it.seen(A)
        assert it.seen(B)
        it.nodes.opened(OTHER, full=True)
        it.nodes.listed(OTHER, B, 1, 900.0)
        it.after(GRACE)
        assert it.seen(A)
        it.nodes.caught_up(OTHER)
        it.after(0.0)
        assert not it.seen(A)
        assert it.seen(B)


def test_a_full_list_replaces_the_one_before() -> None:
    with known() as it:
        it.nodes.take(HEAD, signed(A), 900.0)
        it.nodes.take(HEAD, signed(B), 900.0)
        it.nodes.caught_up(HEAD)
        it.nodes.opened(HEAD, full=True)
        it.nodes.listed(HEAD, A, 1, 900.0)
        it.nodes.caught_up(HEAD)
        it.after(GRACE - 0.1)
        assert it.seen(B)
        it.after(0.1)
        assert it.seen(A)
        assert not it.seen(B)


def test_there_is_room_for_so_many_and_no_more() -> None:
    with known(most=1) as it:
        it.nodes.take(HEAD, signed(A), 900.0)
        it.nodes.take(HEAD, signed(B), 900.0)
        assert it.seen(A)
        assert not it.seen(B)
        assert it.nodes.refused == 1
        it.clock.at = 901.0
        it.nodes.expire()
        it.nodes.take(HEAD, signed(B), 900.0)
        assert not it.seen(A)
        assert it.seen(B)
