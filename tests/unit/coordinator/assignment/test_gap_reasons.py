"""The gap report: how urgent, and in which words."""

from __future__ import annotations

from dataclasses import replace

from coordinator.assignment.gaps import find_gaps
from coordinator.assignment.supply import Supply
from mesh.coverage import ServiceCoverage
from mesh.targets import ServiceTarget
from tests.unit.coordinator.assignment.small_mesh import (
    GIB,
    Leader,
    holds,
    node_id,
    serving,
    supply,
    target,
)

X = node_id("x")[:8]


def gaps(leader: Leader, *supplies: Supply) -> dict[str, ServiceCoverage]:
    found = find_gaps(leader.targets, supplies, leader.assignment, leader.now)
    return {each.service: each for each in found}


def reasons(wanted: ServiceTarget, *supplies: Supply) -> tuple[str, ...]:
    leader = Leader(wanted)
    leader.step(*supplies)
    return gaps(leader, *supplies)[wanted.name].reasons


def test_levels_follow_what_records_show() -> None:
    leader = Leader(target("a"), target("b", replicas=2), target("c"))
    x = supply("x", *(holds(name) for name in "abc"), serves="ab")
    leader.step(x)
    found = gaps(leader, x)
    assert {name: each.level for name, each in found.items()} == {
        "a": "ok",
        "b": "warning",
        "c": "critical",
    }
    assert list(found) == ["c", "b", "a"]
    assert found["a"].reasons == ()
    assert found["c"].starting == (node_id("x"),)
    assert found["c"].reasons == (f"starting on node {X} for 0 s",)


def test_missing_models_are_named() -> None:
    assert reasons(target("a"), supply("x", holds("b"))) == ("no node holds model a",)
    asked = replace(target("a"), engine="vllm")
    assert reasons(asked, supply("x", holds("a"))) == ("no node holds model a for engine vllm",)


def test_missing_hardware_is_named_even_when_nobody_holds_the_model() -> None:
    asked = replace(target("a"), gpu_memory=40 * GIB)
    assert reasons(asked, supply("x", cards=[24])) == (
        "no node holds model a",
        f"needs 40 GiB of GPU memory; the largest card has 24 GiB on node {X}",
    )


def test_a_card_that_is_too_small_is_named() -> None:
    assert reasons(target("a"), supply("x", holds("a", gpu=14), cards=[8, 8])) == (
        f"needs 14 GiB of GPU memory; the largest card has 8 GiB on node {X}",
    )
    assert reasons(target("a"), supply("x", holds("a", gpu=14))) == (
        "needs 14 GiB of GPU memory; no node that could run it has a GPU",
    )


def test_memory_that_is_too_small_is_named() -> None:
    assert reasons(target("a"), supply("x", holds("a", memory=14), memory=8)) == (
        f"needs 14 GiB of memory; the most is 8 GiB on node {X}",
    )


def test_both_on_different_nodes_is_said_so() -> None:
    asked = replace(target("a"), memory=20 * GIB, gpu_memory=20 * GIB)
    big = supply("x", holds("a"), memory=32, cards=[8])
    card = supply("y", holds("a"), memory=8, cards=[24])
    assert reasons(asked, big, card) == (
        "needs 20 GiB of GPU memory and 20 GiB of memory on one node; no node has both",
    )


def test_what_others_use_is_told_from_what_is_not_there() -> None:
    leader = Leader(target("a", priority=0), target("b", priority=9))
    x = supply("x", holds("a", gpu=20), holds("b", gpu=8), cards=[24])
    leader.step(x)
    after = serving(x, "a")
    leader.step(after)
    (reason,) = gaps(leader, after)["b"].reasons
    lacking = f"needs 8 GiB of GPU memory; the largest free card has 4 GiB on node {X}"
    assert reason == f"{lacking} (other services use the rest)"


def test_refusals_and_too_few_nodes_are_named() -> None:
    refused = replace(supply("x", holds("a")), barred={"a": "its server ended"})
    assert reasons(target("a"), refused)[0] == f"node {X} could not start it: its server ended"
    x = supply("x", holds("a"), serves="a")
    assert reasons(target("a", replicas=3), x) == ("no further node can run it: 1 of 3 can",)
    paused = supply("x", holds("a"), eligible=False)
    assert reasons(target("a"), paused) == ("every node that holds model a is draining or paused",)


def test_what_waits_for_room_says_for_whom() -> None:
    leader = Leader(target("z", priority=7))
    x = supply("x", holds("a", memory=20), holds("z", memory=20))
    leader.step(x)
    leader.targets = (target("a", priority=0), target("z", priority=7))
    leader.step(serving(x, "z"))
    assert gaps(leader, serving(x, "z"))["a"].reasons == (
        f"waiting on node {X} until z has ended there",
    )


def test_a_mesh_without_nodes_says_that_nobody_holds_it() -> None:
    assert reasons(target("a")) == ("no node holds model a",)
