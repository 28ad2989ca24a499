"""Who gets what, told as stories of a few nodes."""

from __future__ import annotations

from dataclasses import replace

from coordinator.assignment.assign import BALANCE_GAP, DWELL_SECONDS, SURPLUS_SECONDS
from coordinator.assignment.board import LATE_SECONDS
from coordinator.assignment.placement import Assignment
from coordinator.assignment.restoring import DRAIN_SECONDS, WAIT_SECONDS
from tests.unit.coordinator.assignment.small_mesh import (
    GIB,
    Leader,
    holds,
    node_id,
    serving,
    supply,
    target,
)


def test_every_service_gets_a_node_and_counts_once_its_record_shows_it() -> None:
    leader = Leader(target("a"), target("b"))
    x, y = supply("x", holds("a"), holds("b")), supply("y", holds("a"), holds("b"))
    assert leader.step(x, y) == ["a@x starting", "b@y starting"]
    assert leader.step(serving(x, "a"), y) == ["a@x serving", "b@y starting"]
    assert leader.told("y") == ["b"]


def test_a_card_takes_one_heavy_model_and_two_light_ones() -> None:
    heavy = [holds(name, gpu=14) for name in "ab"]
    leader = Leader(target("a"), target("b"))
    assert leader.step(supply("x", *heavy, cards=[24])) == ["a@x starting"]
    assert Leader(*leader.targets).step(supply("x", *heavy, cards=[24, 16])) == [
        "a@x starting",
        "b@x starting",
    ]
    light = [holds(name, gpu=10) for name in "ab"]
    assert len(Leader(*leader.targets).step(supply("x", *light, cards=[24]))) == 2
    split = [holds("a", gpu=20)]
    assert Leader(target("a")).step(supply("x", *split, cards=[12, 12])) == []


def test_main_memory_is_compared_in_bytes() -> None:
    leader = Leader(target("a"), target("b"))
    x = supply("x", holds("a", memory=5), holds("b", memory=4), memory=8)
    assert leader.step(x) == ["a@x starting"]


def test_a_declared_need_larger_than_the_nodes_own_counts() -> None:
    leader = Leader(replace(target("a"), gpu_memory=20 * GIB))
    small = supply("x", holds("a", gpu=8), cards=[16])
    large = supply("y", holds("a", gpu=8), cards=[24])
    assert leader.step(small, large) == ["a@y starting"]


def test_the_more_critical_service_is_covered_first_and_replicas_come_last() -> None:
    leader = Leader(target("a", priority=5), target("b", priority=0, replicas=2))
    both = [holds("a", memory=20), holds("b", memory=20)]
    assert leader.step(supply("x", *both)) == ["b@x starting"]
    assert Leader(*leader.targets).step(supply("x", *both), supply("y", *both)) == [
        "a@y starting",
        "b@x starting",
    ]


def test_a_versatile_node_is_kept_for_what_only_it_can_run() -> None:
    leader = Leader(target("a", priority=0), target("b", priority=9))
    x = supply("x", holds("a", memory=20), holds("b", memory=20))
    y = supply("y", holds("a", memory=20))
    assert leader.step(x, y) == ["a@y starting", "b@x starting"]


def test_what_sits_in_the_way_moves_before_it_stops() -> None:
    """b runs only on x, where a sits; a moves to y, serves there, and only then leaves x."""
    leader = Leader(target("a"))
    x = supply("x", holds("a", memory=20), holds("b", memory=20))
    y = supply("y", holds("a", memory=20))
    leader.step(x)
    leader.step(serving(x, "a"))
    leader.targets = (target("a"), target("b"))
    x = serving(x, "a")
    assert leader.step(x, y) == ["a@x leaving", "a@y starting", "b@x waiting"]
    assert leader.told("x") == ["a"]
    assert leader.step(x, serving(y, "a")) == ["a@x draining", "a@y serving", "b@x waiting"]
    assert leader.told("x") == []
    gone = serving(x)
    assert leader.step(gone, serving(y, "a")) == ["a@y serving", "b@x starting"]


def test_a_chain_of_two_moves_makes_room() -> None:
    targets = [target(name) for name in "abc"]
    x = supply("x", *(holds(name, memory=20) for name in "ac"))
    y = supply("y", *(holds(name, memory=20) for name in "ab"))
    z = supply("z", holds("b", memory=20))
    leader = Leader(*targets[:2])
    leader.step(x, y)
    leader.assignment = Assignment()
    x, y = serving(x, "a"), serving(y, "b")
    leader.targets = targets
    assert leader.step(x, y, z) == [
        "a@x leaving",
        "a@y waiting",
        "b@y leaving",
        "b@z starting",
        "c@x waiting",
    ]


def test_a_first_copy_drives_out_a_less_critical_one_when_nothing_else_helps() -> None:
    leader = Leader(target("z", priority=7))
    x = supply("x", holds("a", memory=20), holds("z", memory=20))
    leader.step(x)
    leader.targets = (target("a", priority=0), target("z", priority=7))
    x = serving(x, "z")
    assert leader.step(x) == ["a@x waiting", "z@x draining"]
    assert leader.step(serving(x)) == ["a@x starting"]
    assert Leader(target("a", priority=7), target("z", priority=0)).step(x) == ["z@x serving"]


def test_a_service_that_nobody_asks_for_any_more_is_drained() -> None:
    leader = Leader(target("a"))
    x = supply("x", holds("a"))
    leader.step(x)
    leader.targets = ()
    assert leader.step(serving(x, "a")) == ["a@x draining"]
    assert leader.told("x") == []
    assert leader.step(x) == []


def test_what_an_owner_serves_by_himself_counts_and_is_never_placed() -> None:
    leader = Leader(target("a"))
    own = supply("x", own=["a"])
    other = supply("y", holds("a"))
    assert leader.step(own, other) == []
    assert leader.step(other) == ["a@y starting"]
    assert leader.step(own, serving(other, "a")) == ["a@y leaving"]


def test_a_lone_gpu_node_gets_all_its_services_again_when_it_restarts() -> None:
    names = "abc"
    leader = Leader(*(target(name) for name in names))
    x = supply("x", *(holds(name, gpu=7) for name in names), cards=[24])
    leader.step(x)
    leader.step(serving(x, *names))
    assert leader.step(x, after=5.0) == [f"{name}@x starting" for name in names]
    assert leader.told("x") == ["a", "b", "c"]
    leader.step(after=5.0)
    assert leader.step(x) == [f"{name}@x starting" for name in names]


def test_a_copy_too_many_is_drained_only_after_a_while() -> None:
    leader = Leader(target("a"))
    x, y = supply("x", holds("a")), supply("y", holds("a"))
    leader.step(x)
    leader.step(serving(x, "a"))
    both = (serving(x, "a"), serving(y, "a"))
    assert leader.step(*both) == ["a@x serving", "a@y leaving"]
    assert leader.step(*both, after=SURPLUS_SECONDS - 1) == ["a@x serving", "a@y leaving"]
    assert leader.told("y") == ["a"]
    assert leader.step(*both) == ["a@x serving", "a@y draining"]


def test_a_copy_that_was_to_leave_is_counted_on_again_when_the_other_dies() -> None:
    leader = Leader(target("a"))
    x, y = supply("x", holds("a")), supply("y", holds("a"))
    leader.step(x)
    leader.step(serving(x, "a"))
    leader.step(serving(x, "a"), serving(y, "a"))
    assert leader.step(serving(y, "a")) == ["a@y serving"]


def test_a_node_that_comes_and_goes_starts_nothing_anew() -> None:
    leader = Leader(target("a"))
    x, y = supply("x", holds("a")), supply("y", holds("a"))
    leader.step(x)
    told = set()
    for _ in range(10):
        leader.step(serving(y, "a"), after=5.0)
        leader.step(serving(x, "a"), serving(y, "a"), after=5.0)
        told.add(tuple(leader.told("y")))
    assert told == {("a",)}


def test_a_slow_start_is_hedged_but_drives_nobody_away() -> None:
    leader = Leader(target("a"), target("b", priority=9))
    x = supply("x", holds("a"))
    y = supply("y", holds("a", memory=20), holds("b", memory=20))
    z = supply("z", holds("a"))
    leader.step(x, serving(y, "b"))
    late = LATE_SECONDS + 1
    assert leader.step(x, serving(y, "b"), after=late) == ["a@x starting", "b@y serving"]
    assert leader.step(x, serving(y, "b"), z) == [
        "a@x starting",
        "a@z starting",
        "b@y serving",
    ]
    after = leader.step(x, serving(y, "b"), serving(z, "a"))
    assert after == ["a@x leaving", "a@z serving", "b@y serving"]


def test_a_node_that_refused_is_passed_over() -> None:
    leader = Leader(target("a"))
    x, y = supply("x", holds("a")), supply("y", holds("a"))
    assert leader.step(x, y) == ["a@x starting"]
    assert leader.step(replace(x, barred={"a": "no"}), y) == ["a@y starting"]


def test_a_draining_node_gets_nothing_and_serves_until_it_is_replaced() -> None:
    leader = Leader(target("a"))
    x, y = supply("x", holds("a")), supply("y", holds("a"))
    leader.step(x)
    leader.step(serving(x, "a"))
    leaving = replace(serving(x, "a"), eligible=False)
    assert leader.step(leaving, y) == ["a@x leaving", "a@y starting"]
    assert leader.step(leaving, serving(y, "a"), after=SURPLUS_SECONDS) == [
        "a@x draining",
        "a@y serving",
    ]


def test_load_is_evened_out_only_for_much_and_one_at_a_time() -> None:
    names = "abcdef"
    leader = Leader(*(target(name) for name in names))
    x = supply("x", *(holds(name) for name in names))
    y = supply("y", *(holds(name) for name in names))
    leader.step(x)
    full = serving(x, *names)
    leader.step(full)
    calm = [f"{name}@x serving" for name in names]
    assert leader.step(full, y) == calm
    moved = leader.step(full, y, after=DWELL_SECONDS)
    assert moved == ["a@x leaving", "a@y starting", *calm[1:]]
    near = serving(x, *names[: BALANCE_GAP - 1])
    few = Leader(*(target(name) for name in names[: BALANCE_GAP - 1]))
    few.step(near, y)
    assert all("@x serving" in line for line in few.step(near, y, after=DWELL_SECONDS))


def test_what_still_shows_long_after_draining_is_somebody_elses() -> None:
    leader = Leader(target("a"))
    x = serving(supply("x", holds("a")), "a")
    leader.step(x)
    leader.targets = ()
    assert leader.step(x) == ["a@x draining"]
    assert leader.step(x, after=DRAIN_SECONDS + 1) == []


def test_a_claim_that_waited_in_vain_is_given_up() -> None:
    leader = Leader(target("z", priority=7))
    x = supply("x", holds("a", memory=20), holds("z", memory=20))
    y = supply("y", holds("a", memory=20))
    leader.step(x)
    leader.targets = (target("a", priority=0), target("z", priority=7))
    assert leader.step(serving(x, "z")) == ["a@x waiting", "z@x draining"]
    after = leader.step(serving(x, "z"), y, after=WAIT_SECONDS + 1)
    assert "a@y starting" in after


def test_an_engine_that_is_asked_for_by_name_is_the_only_one_that_counts() -> None:
    leader = Leader(replace(target("a"), engine="vllm"))
    x, y = supply("x", holds("a")), supply("y", holds("a", engine="vllm"))
    assert leader.step(serving(x, "a"), y) == ["a@y starting"]


def test_a_new_leader_takes_over_what_runs() -> None:
    leader = Leader(target("a", replicas=2))
    x, y, z = (supply(name, holds("a")) for name in "xyz")
    state = [x, serving(y, "a"), serving(z, "a")]
    assert leader.step(*state) == ["a@y serving", "a@z serving"]
    assert node_id("y") in leader.assignment.models()
