"""Who should be a member: safe at every step, settled at last, whatever happens on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

import pytest

from coordinator.consensus.entry import MAX_STANDBYS, MAX_VOTERS, Members
from coordinator.consensus.membership import changed
from coordinator.consensus.ready import PeerSight
from coordinator.group.policy import (
    SILENT_STANDBY,
    SILENT_VOTER,
    Step,
    plan_change,
    wanted_voters,
)
from mesh.ids import NodeId

NEVER = float("inf")


def name(number: int) -> NodeId:
    return NodeId(f"{number:040x}")


@dataclass
class World:
    """A leader's list and what it knows of the others."""

    members: Members
    own: NodeId
    seen: dict[NodeId, PeerSight] = field(default_factory=dict)
    linked: set[NodeId] = field(default_factory=set)

    def plan(self) -> Step | None:
        return plan_change(self.own, self.members, self.seen, self.linked, caught_up=64)

    def take(self, step: Step) -> None:
        self.members = changed(self.members, step.change, step.node)
        everyone = {*self.members.voters, *self.members.standbys} - {self.own}
        self.seen = {node: self.seen.get(node, PeerSight(NEVER, 99, True)) for node in everyone}

    def answers(self, node: NodeId) -> bool:
        sight = self.seen.get(node)
        return node == self.own or (sight is not None and sight.counts and sight.silence < 1.0)

    def is_safe(self) -> bool:
        heard = sum(self.answers(node) for node in self.members.voters)
        return 2 * heard > len(self.members.voters)

    def settle(self, most: int = 200) -> list[Step]:
        """Steps until nothing is left to do; members that are linked answer."""
        steps: list[Step] = []
        while step := self.plan():
            assert len(steps) < most, f"it never ends: {steps[-6:]}"
            steps.append(step)
            self.take(step)
            self.hear()
        return steps

    def hear(self) -> None:
        """Linked members answer, and those that lost their state are readmitted as standbys."""
        for node in self.seen:
            if node in self.linked:
                lost = not self.seen[node].counts and node in self.members.voters
                self.seen[node] = PeerSight(0.0, 0, not lost)


def group(voters: int, standbys: int = 0) -> World:
    numbers = [name(number) for number in range(voters + standbys)]
    world = World(Members(tuple(numbers[:voters]), tuple(numbers[voters:])), name(0))
    world.linked = set(numbers[1:])
    world.seen = {node: PeerSight(0.0, 0, True) for node in numbers[1:]}
    return world


def silence(world: World, number: int, seconds: float, *, counts: bool = True) -> None:
    world.linked.discard(name(number))
    world.seen[name(number)] = PeerSight(seconds, 0, counts)


@pytest.mark.parametrize(
    ("available", "voters"), [(1, 1), (2, 1), (3, 3), (4, 3), (5, 5), (6, 5), (20, 5)]
)
def test_the_number_of_voters_is_odd(available: int, voters: int) -> None:
    assert wanted_voters(available) == voters
    world = group(1)
    world.linked |= {name(number) for number in range(1, available)}
    world.settle()
    assert len(world.members.voters) == voters
    assert len(world.members.standbys) == available - voters


def test_a_step_to_an_even_number_waits_for_the_next_to_be_ready() -> None:
    world = group(1, 2)
    world.seen[name(2)] = PeerSight(0.0, 10_000, True)
    assert world.plan() is None
    world.seen[name(2)] = PeerSight(0.0, 3, True)
    assert world.plan() == Step("promote", name(1))


def test_a_voter_that_lost_its_state_is_demoted_first_and_promoted_again() -> None:
    world = group(3)
    world.seen[name(2)] = PeerSight(0.0, 50, False)
    assert world.settle() == [Step("demote", name(2)), Step("promote", name(2))]


def test_a_silent_voter_keeps_its_seat_for_a_while_and_without_a_successor() -> None:
    world = group(3, 1)
    silence(world, 2, SILENT_VOTER - 0.1)
    assert world.plan() is None
    world = group(3)
    silence(world, 2, 1_000.0)
    assert world.plan() is None


def test_a_silent_voter_is_replaced_before_it_is_demoted() -> None:
    world = group(3, 1)
    silence(world, 2, SILENT_VOTER)
    assert world.settle() == [Step("promote", name(3)), Step("demote", name(2))]
    world = group(5, 1)
    silence(world, 4, SILENT_VOTER)
    assert world.settle() == [Step("demote", name(4)), Step("promote", name(5))]


def test_no_step_where_too_few_would_answer() -> None:
    world = group(3, 1)
    silence(world, 2, SILENT_VOTER)
    silence(world, 1, 2.0)
    assert world.plan() is None
    world = group(3)
    world.seen[name(2)] = PeerSight(0.0, 50, False)
    silence(world, 1, 2.0)
    assert world.plan() is None, "two voters, one of them silent, decide nothing"


def test_a_standby_that_never_answered_stays_while_it_is_linked() -> None:
    world = group(1)
    world.linked.add(name(1))
    step = world.plan()
    assert step == Step("add", name(1))
    world.take(step)
    assert world.seen[name(1)].silence == NEVER
    assert world.plan() is None
    world.linked.clear()
    assert world.plan() == Step("remove", name(1))


def test_a_standby_is_forgotten_after_long_silence() -> None:
    world = group(3, 2)
    silence(world, 4, SILENT_STANDBY - 1)
    silence(world, 3, 30.0)
    assert world.plan() is None
    silence(world, 4, SILENT_STANDBY)
    assert world.plan() == Step("remove", name(4))


def test_the_list_of_standbys_is_bounded() -> None:
    world = group(1)
    world.linked |= {name(number) for number in range(1, 100)}
    world.settle()
    assert len(world.members.voters) == MAX_VOTERS
    assert len(world.members.standbys) <= MAX_STANDBYS


@pytest.mark.parametrize("seed", range(300))
def test_every_step_is_safe_and_the_list_settles(seed: int) -> None:
    """Random nodes fall silent, lose their state, come and go; then the weather clears."""
    rng = Random(seed)
    world = group(rng.choice((1, 2, 3, 4, 5)), rng.randint(0, 4))
    numbers = range(1, 12)
    for _ in range(60):
        node = name(rng.choice(numbers))
        chance = rng.random()
        if chance < 0.3:
            world.linked.add(node)
            world.hear()
        elif node in world.seen:
            world.linked.discard(node)
            silent = rng.choice((0.0, 0.5, 2.0, SILENT_VOTER, 30.0, SILENT_STANDBY, NEVER))
            counts = rng.random() < 0.8
            before = world.seen[node]
            world.seen[node] = PeerSight(silent, rng.choice((0, 10, 1_000)), counts)
            if not world.is_safe():
                world.seen[node] = before  # such a leader would not lead; the core sees to that
        step = world.plan()
        if step is not None:
            world.take(step)
            assert world.is_safe(), f"after {step}"
    world.linked |= {name(number) for number in numbers}
    world.hear()
    world.settle()
    assert len(world.members.voters) == MAX_VOTERS
    assert len({*world.members.voters, *world.members.standbys}) == 12
    assert all(world.answers(node) for node in world.members.voters)
    assert world.plan() is None
