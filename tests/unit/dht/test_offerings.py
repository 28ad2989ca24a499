"""What is published, and when it is due."""

from __future__ import annotations

from dht.offerings import GROWTH_PAUSE, REPUBLISH_AFTER, RETRY_MOST, Offerings
from mesh.capability import ModelRef, NodeRecord, ServedModel
from mesh.ids import NodeId


def node(*models: str, speed: float = 0.0, address: str = "tcp://192.0.2.1:1") -> NodeRecord:
    served = tuple(ServedModel(ModelRef(name, "demo"), slots=1, speed=speed) for name in models)
    return NodeRecord(
        NodeId("ab" * 20), 1, 0.0, 1.0, addresses=(address,), roles=("worker",), models=served
    )


def due(offerings: Offerings, now: float, contacts: int = 10) -> list[str]:
    return sorted(each.name for each in offerings.due(now, contacts))


def store_all(offerings: Offerings, now: float, *, holders: int = 5, contacts: int = 10) -> None:
    for offering in offerings.due(now, contacts):
        offerings.stored(offering, holders, contacts, now)


def test_everything_new_is_due_at_once_and_again_before_it_dies() -> None:
    offerings = Offerings()
    offerings.replace(node("a", "b"))
    assert due(offerings, 0.0) == ["a", "b", "worker"]
    store_all(offerings, 5.0)
    assert due(offerings, 5.0 + REPUBLISH_AFTER - 1) == []
    assert offerings.next_due(10) == 5.0 + REPUBLISH_AFTER
    assert due(offerings, 5.0 + REPUBLISH_AFTER) == ["a", "b", "worker"]


def test_a_changed_set_withdraws_what_is_gone_once() -> None:
    offerings = Offerings()
    offerings.replace(node("a"))
    store_all(offerings, 0.0)
    offerings.replace(node("b"))
    pending = offerings.due(1.0, 10)
    assert {(each.name, each.withdrawn) for each in pending} == {("a", True), ("b", False)}
    store_all(offerings, 1.0)
    assert len(offerings) == 2
    assert due(offerings, 2.0) == []


def test_a_model_that_comes_back_is_stored_again() -> None:
    offerings = Offerings()
    offerings.replace(node("a"))
    store_all(offerings, 0.0)
    offerings.replace(node())
    (withdrawing,) = offerings.due(1.0, 10)
    offerings.replace(node("a"))
    offerings.stored(withdrawing, 5, 10, 1.0)
    (again,) = offerings.due(2.0, 10)
    assert (again.name, again.withdrawn) == ("a", False)


def test_speed_is_no_news_but_an_address_is() -> None:
    offerings = Offerings()
    offerings.replace(node("a", speed=10))
    store_all(offerings, 0.0)
    offerings.replace(node("a", speed=20))
    assert due(offerings, 1.0) == []
    offerings.replace(node("a", address="tcp://192.0.2.2:2"))
    assert due(offerings, 1.0) == ["a", "worker"]


def test_what_nobody_took_is_tried_ever_more_rarely() -> None:
    offerings = Offerings()
    offerings.replace(node("a"))
    now, waits = 0.0, []
    for _ in range(10):
        store_all(offerings, now, holders=0)
        following = offerings.next_due(10)
        assert following is not None
        waits.append(following - now)
        now = following
    assert waits[:3] == [1.0, 2.0, 4.0]
    assert waits[-1] == RETRY_MOST


def test_a_table_that_doubled_is_stored_to_again() -> None:
    offerings = Offerings()
    offerings.replace(node("a"))
    store_all(offerings, 0.0, contacts=3)
    assert due(offerings, 10.0, contacts=5) == []
    assert due(offerings, GROWTH_PAUSE, contacts=6) == ["a", "worker"]
    store_all(offerings, 10.0, contacts=6)
    assert due(offerings, 20.0, contacts=6) == []


def test_leaving_withdraws_everything() -> None:
    offerings = Offerings()
    offerings.replace(node("a", "b"))
    store_all(offerings, 0.0)
    assert sorted(each.name for each in offerings.withdraw_all()) == ["a", "b", "worker"]
    assert offerings.withdraw_all() == []
