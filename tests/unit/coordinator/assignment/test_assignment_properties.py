"""What holds for every mesh: the same everywhere, nothing overfilled, calm in the end."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.assignment.assign import assign
from coordinator.assignment.board import need_on
from coordinator.assignment.placement import RUNNING, Assignment
from coordinator.assignment.supply import Supply
from mesh.room import Room
from mesh.targets import ServiceTarget
from tests.unit.coordinator.assignment.small_mesh import holds, serving, supply, target

NAMES = "abcde"


@st.composite
def meshes(draw: st.DrawFn) -> tuple[list[ServiceTarget], list[Supply], Assignment]:
    """Targets, nodes in some state of work, and the assignment they work by."""
    targets = [
        target(name, priority=draw(st.integers(0, 3)), replicas=draw(st.integers(0, 3)))
        for name in NAMES[: draw(st.integers(1, len(NAMES)))]
    ]
    nodes = [draw(supplies(name)) for name in "stuvwxyz"[: draw(st.integers(0, 8))]]
    assignment = assign(targets, nodes, Assignment(), 0.0)
    for now in range(1, draw(st.integers(1, 4))):
        nodes = [obey(node, assignment, draw(st.booleans())) for node in nodes]
        nodes = [node for node in nodes if draw(st.integers(0, 5))]
        assignment = assign(targets, nodes, assignment, now * 17.0)
    return targets, nodes, assignment


@st.composite
def supplies(draw: st.DrawFn, name: str) -> Supply:
    models = [
        holds(model, memory=draw(st.integers(1, 12)), gpu=draw(st.sampled_from((0, 0, 6, 12))))
        for model in NAMES
        if draw(st.booleans())
    ]
    cards = draw(st.sampled_from(((), (8,), (16,), (16, 8))))
    node = supply(name, *models, memory=draw(st.integers(4, 32)), cards=cards)
    return replace(node, eligible=draw(st.integers(0, 6)) > 0)


def obey(node: Supply, assignment: Assignment, ready: bool) -> Supply:
    told = [model for model, _ in assignment.models().get(node.node, ())]
    return serving(node, *told) if ready else serving(node)


@given(meshes(), st.integers())
@settings(max_examples=150, deadline=None)
def test_the_order_of_the_input_does_not_matter(
    mesh: tuple[list[ServiceTarget], list[Supply], Assignment], seed: int
) -> None:
    targets, nodes, assignment = mesh
    expected = assign(targets, nodes, assignment, 100.0)
    rng = Random(seed)
    placements = list(assignment.placements)
    for shuffled in (targets, nodes, placements):
        rng.shuffle(shuffled)
    assert assign(targets, nodes, Assignment(tuple(placements)), 100.0) == expected


@given(meshes())
@settings(max_examples=150, deadline=None)
def test_nodes_are_told_only_what_they_hold_and_what_fits(
    mesh: tuple[list[ServiceTarget], list[Supply], Assignment],
) -> None:
    targets, nodes, assignment = mesh
    by_name = {one.name: one for one in targets}
    by_node = {node.node: node for node in nodes}
    rooms = {node.node: Room(node.resources) for node in nodes}
    for placement in assignment.placements:
        node = by_node[placement.node]
        assert node.holds(placement.model, placement.engine)
        if placement.state in RUNNING:
            rooms[node.node].take(placement.model, need_on(node, by_name[placement.service]))
    for room in rooms.values():
        assert room.memory >= 0
        assert min(room.cards, default=0) >= 0


@given(meshes())
@settings(max_examples=150, deadline=None)
def test_a_calm_mesh_comes_to_rest(
    mesh: tuple[list[ServiceTarget], list[Supply], Assignment],
) -> None:
    """When every node does as told, nothing is under way any more after some rounds."""
    targets, nodes, assignment = mesh
    now = 1_000.0
    for _ in range(40):
        nodes = [obey(node, assignment, True) for node in nodes]
        now += 35.0
        before, assignment = assignment, assign(targets, nodes, assignment, now)
    ineligible = {node.node for node in nodes if not node.eligible}
    restless = [
        placement
        for placement in assignment.placements
        if placement.state != "serving" and placement.node not in ineligible
    ]
    assert restless == []
    assert before.models() == assignment.models()
