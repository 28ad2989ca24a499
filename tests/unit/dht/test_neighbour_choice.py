"""Choosing neighbours."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from dht.neighbours import TARGET, Candidate, plan_neighbours
from mesh.ids import NodeId

OWN = NodeId("00" * 20)


def node(number: int) -> NodeId:
    return NodeId(f"{number:040x}")


@given(st.lists(st.tuples(st.integers(1, 500), st.booleans(), st.booleans()), max_size=80))
def test_never_more_than_wanted_and_never_one_that_cannot_be_had(
    rows: list[tuple[int, bool, bool]],
) -> None:
    candidates = {n: Candidate(node(n), linked, dialable) for n, linked, dialable in rows}
    plan = plan_neighbours(OWN, candidates.values(), (), Random(0))
    usable = {each.node for each in candidates.values() if each.linked or each.dialable}
    linked = {each.node for each in candidates.values() if each.linked}
    assert plan.keep <= usable
    assert len(plan.keep) == min(TARGET, len(usable))
    assert set(plan.dial) == plan.keep - linked


def test_the_nearest_by_id_are_always_among_them() -> None:
    candidates = [Candidate(node(n), linked=n > 50, dialable=True) for n in range(1, 101)]
    plan = plan_neighbours(OWN, candidates, (), Random(1))
    assert {node(1), node(2), node(3), node(4)} <= plan.keep
    assert len([each for each in plan.keep if int(each, 16) > 50]) == TARGET - 4


def test_a_choice_once_made_is_kept() -> None:
    candidates = [Candidate(node(n), linked=True, dialable=True) for n in range(1, 101)]
    first = plan_neighbours(OWN, candidates, (), Random(1))
    for seed in range(20):
        again = plan_neighbours(OWN, candidates, first.keep, Random(seed))
        assert again.keep == first.keep


def test_different_nodes_choose_different_random_ones() -> None:
    candidates = [Candidate(node(n), linked=False, dialable=True) for n in range(1, 101)]
    plans = {plan_neighbours(OWN, candidates, (), Random(seed)).keep for seed in range(10)}
    assert len(plans) == 10


def test_two_coordinators_come_on_top_those_with_a_grant_first() -> None:
    others = [Candidate(node(n), linked=True, dialable=True) for n in range(1, 50)]
    claiming = [Candidate(node(n), False, True, "claims") for n in (100, 101, 102)]
    granted = [Candidate(node(200), True, True, "is")]
    plan = plan_neighbours(OWN, [*others, *claiming, *granted], (), Random(1))
    assert len(plan.keep) == TARGET + 2
    assert node(200) in plan.keep
    assert len(plan.dial) == 1
    assert set(plan.dial) < {node(100), node(101), node(102)}


def test_links_to_granted_coordinators_are_kept_and_no_others_dialled() -> None:
    granted = [Candidate(node(n), linked=True, dialable=True, coordinating="is") for n in (7, 8, 9)]
    claiming = [Candidate(node(n), False, True, "claims") for n in range(100, 120)]
    first = plan_neighbours(OWN, [*granted, *claiming], (), Random(1), target=0)
    assert first.keep < {node(7), node(8), node(9)}
    assert first.dial == ()
    for seed in range(9):
        again = plan_neighbours(OWN, [*granted, *claiming], first.keep, Random(seed), target=0)
        assert again.keep == first.keep
