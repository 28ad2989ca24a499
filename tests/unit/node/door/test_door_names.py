"""Who gets which name, and for how long."""

from __future__ import annotations

import pytest

from mesh.ids import NodeId
from node.door.names import HOLD_SECONDS, MAX_NAMES, MAX_NAMES_SOURCE, Names, own_label

ALICE, BOB = NodeId("a" * 40), NodeId("b" * 40)


def node(number: int) -> NodeId:
    return NodeId(f"{number:016x}{'0' * 24}")


def claim(names: Names, who: NodeId, label: str = "", source: str = "", now: float = 0.0) -> str:
    return names.claim(who, label, source=source or who, now=now)


def test_a_node_has_the_label_of_its_id_without_asking() -> None:
    names = Names()
    assert claim(names, ALICE) == ""
    assert names.holder(own_label(ALICE)) == ALICE
    assert names.label(ALICE) == "a" * 16


def test_the_first_to_ask_gets_a_name() -> None:
    names = Names()
    assert claim(names, ALICE, "chat") == ""
    assert claim(names, BOB, "chat") == "another node holds that name"
    assert claim(names, ALICE, "chat") == ""
    assert names.holder("chat") == ALICE


def test_nobody_gets_the_label_of_anothers_id() -> None:
    names = Names()
    assert claim(names, BOB, own_label(ALICE)) == "that label is another node's id"
    assert claim(names, ALICE, own_label(ALICE)) == ""


@pytest.mark.parametrize("label", ["-a", "a-", "A", "a.b", "ä", "a" * 64, "a_b", "*", " "])
def test_what_is_no_label_is_refused(label: str) -> None:
    assert "a label has" in claim(Names(), ALICE, label)


def test_another_label_frees_the_one_before() -> None:
    names = Names()
    claim(names, ALICE, "one")
    claim(names, ALICE, "two")
    assert (names.holder("one"), names.holder("two"), len(names)) == (None, ALICE, 1)


def test_a_refused_wish_leaves_what_was_held() -> None:
    names = Names()
    claim(names, ALICE, "one")
    claim(names, BOB, "two")
    assert claim(names, ALICE, "two")
    assert names.holder("one") == ALICE


def test_a_node_that_is_away_keeps_its_name_for_a_while() -> None:
    names = Names()
    claim(names, ALICE, "chat")
    names.park(ALICE, now=10.0)
    assert claim(names, BOB, "chat", now=10.0 + HOLD_SECONDS - 1)
    assert claim(names, BOB, "chat", now=10.0 + HOLD_SECONDS) == ""
    assert names.label(ALICE) == ""


def test_a_node_that_came_back_does_not_lose_its_name_later() -> None:
    names = Names()
    claim(names, ALICE, "chat")
    names.park(ALICE, now=10.0)
    claim(names, ALICE, "chat", now=20.0)
    assert claim(names, BOB, "chat", now=20.0 + 2 * HOLD_SECONDS)


def test_names_are_bounded_in_all() -> None:
    names = Names()
    for number in range(MAX_NAMES):
        assert claim(names, node(number)) == ""
    assert claim(names, ALICE) == "this door has all the names it can keep"
    assert claim(names, node(7), "other") == "", "who has one may change it"
    assert len(names) == MAX_NAMES


def test_names_are_bounded_by_host() -> None:
    names = Names()
    for number in range(MAX_NAMES_SOURCE):
        assert claim(names, node(number), source="203.0.113.7") == ""
    assert "one host" in claim(names, ALICE, source="203.0.113.7")
    assert claim(names, ALICE, source="203.0.113.8") == ""
