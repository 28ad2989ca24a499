"""The view: what the request path reads."""

from __future__ import annotations

from dht.view import LATELY, MAX_SEEN, DirectoryView
from mesh.capability import ModelRef, NodeRecord, NodeState, Peer, ServedModel
from mesh.ids import NodeId

A, B = NodeId("a" * 40), NodeId("b" * 40)


class SetClock:
    """Shows the time it was given."""

    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> float:
        return self.at

    def wall(self) -> float:
        return self.at


def peer(node: NodeId, *models: str, state: NodeState = "ready", seq: int = 1) -> Peer:
    served = tuple(ServedModel(ModelRef(name, "demo"), slots=1) for name in models)
    return Peer(NodeRecord(node, seq, 0.0, 100.0, state=state, models=served))


def names(view: DirectoryView, model: str) -> set[NodeId]:
    return {found.peer.record.node_id for found in view.providers(model)}


def test_providers_follow_every_change_of_a_node() -> None:
    view = DirectoryView(SetClock())
    view.update(A, peer(A, "x", "y"))
    view.update(B, peer(B, "y"))
    assert names(view, "y") == {A, B}
    view.update(A, peer(A, "y", "z", seq=2))
    assert names(view, "x") == set()
    assert names(view, "z") == {A}
    assert {found.peer.record.seq for found in view.providers("y")} == {1, 2}
    view.update(B, None)
    assert names(view, "y") == {A}
    assert [found.model.ref.name for found in view.models()] == ["y", "z"]
    assert [found.record.node_id for found in view.peers()] == [A]


def test_nodes_that_take_no_work_are_seen_but_provide_nothing() -> None:
    view = DirectoryView(SetClock())
    for state in ("starting", "draining"):
        view.update(A, peer(A, "x", state=state))
        assert view.peer(A) is not None
        assert not view.providers("x")
    view.update(A, peer(A, "x", state="degraded"))
    assert names(view, "x") == {A}


def test_a_model_is_remembered_for_ten_minutes_after_its_last_provider() -> None:
    clock = SetClock()
    view = DirectoryView(clock)
    assert not view.seen_lately("x")
    view.update(A, peer(A, "x"))
    clock.at = 10_000.0
    assert view.seen_lately("x")
    view.update(A, None)
    clock.at += LATELY
    assert view.seen_lately("x")
    clock.at += 1
    assert not view.seen_lately("x")


def test_what_is_remembered_is_bounded() -> None:
    view = DirectoryView(SetClock())
    for number in range(MAX_SEEN + 50):
        view.update(A, peer(A, f"m{number}"))
    view.update(A, None)
    assert not view.seen_lately("m0")
    assert view.seen_lately(f"m{MAX_SEEN + 49}")


def test_forgetting_an_unknown_node_is_harmless() -> None:
    view = DirectoryView(SetClock())
    view.update(A, None)
    assert not view.peers()
