"""Invariants of membership in meshes of up to a thousand nodes: nobody alive is called dead by the
mesh, and everybody dead leaves every view in time. A failure names its seed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from mesh.ids import NodeId
from tests.simulation.membership_world import Bugs, World

CRASH, SILENCE, RECOVERY = 1.0, 3.0, 7.0
"""Seconds until the dead are out of all views, and those that nodes which ran late may take once
they run well again: they are meant to be slow to accuse."""
LOOK_EVERY = 0.05
NONE = Bugs()


@dataclass
class Story:
    """Faults of one run, drawn from its seed, and what was seen."""

    world: World
    dead: dict[NodeId, float] = field(default_factory=dict)
    """When each must be out of every view."""
    slow: set[NodeId] = field(default_factory=set)
    apart: set[NodeId] = field(default_factory=set)
    well_at: float = 0.0
    """When nodes that ran late must know of every death."""
    violations: list[str] = field(default_factory=list)

    def draw(self, deaths: int, slow: int, breaks: int, seconds: float) -> None:
        world, rng = self.world, self.world.rng
        order = list(world.nodes)
        rng.shuffle(order)
        self.slow = set(order[:slow])
        self.well_at = seconds + RECOVERY
        for node in order[:slow]:
            world.at(rng.uniform(0.0, 0.5), lambda node=node: world.starve(node, seconds))  # type: ignore[misc]
        for number, node in enumerate(order[slow : slow + deaths]):
            silent = number % 2 == 0
            when = rng.uniform(1.0, seconds - 4.0)
            world.at(when, lambda node=node, silent=silent: self.kill(node, silent))  # type: ignore[misc]
        for node in order[slow + deaths : slow + deaths + breaks]:
            world.at(rng.uniform(1.0, seconds - 4.0), lambda node=node: self.shake(node))  # type: ignore[misc]

    def kill(self, node: NodeId, silent: bool) -> None:
        (self.world.freeze if silent else self.world.crash)(node)
        self.dead[node] = self.world.now + (SILENCE if silent else CRASH)

    def shake(self, node: NodeId) -> None:
        """Links of a living node break, one after the other."""
        world = self.world
        peers = [peer for peer in world.nodes[node].links if peer not in self.slow]
        for number, peer in enumerate(peers[:3]):
            world.at(world.now + 0.3 * number, lambda peer=peer: world.break_link(node, peer))  # type: ignore[misc]

    def run(self, seconds: float) -> None:
        while self.world.now < seconds:
            self.world.run(self.world.now + LOOK_EVERY)
            self.look()

    def look(self) -> None:
        world = self.world
        half = len(world.nodes) / 2
        for node, count in world.hidden_from.items():
            if count > half and node not in self.dead and node not in self.apart:
                self.violations.append(f"{world.now:.2f} s: {node[:6]} lives, unseen by {count}")
        for node, due in self.dead.items():
            if world.now > due:
                self.violations += [
                    f"{world.now:.2f} s: {observer.id[:6]} still sees the dead {node[:6]}"
                    for observer in world.nodes.values()
                    if observer.runs
                    and node not in observer.hidden
                    and (observer.id not in self.slow or world.now > self.well_at)
                ]


def run_story(seed: int, count: int, bugs: Bugs = NONE, seconds: float = 8.0) -> list[str]:
    print(f"seed {seed}, {count} nodes")
    story = Story(World(seed, count, bugs))
    story.draw(deaths=6, slow=count // 10, breaks=4, seconds=seconds)
    story.run(seconds)
    story.world.run(story.well_at)
    story.run(story.well_at + LOOK_EVERY)
    return story.violations


def test_a_thousand_nodes_agree_on_who_lives() -> None:
    assert run_story(1, 1_000, seconds=6.0)[:5] == []


@pytest.mark.parametrize("seed", range(8))
def test_smaller_meshes_agree_on_who_lives(seed: int) -> None:
    assert run_story(seed, 100)[:5] == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 1_100))
def test_many_meshes_agree_on_who_lives(seed: int) -> None:
    assert run_story(seed, 100)[:5] == []


@pytest.mark.parametrize(
    "bugs",
    [
        Bugs(confirmations=1),
        Bugs(deaf=True),
        Bugs(confirmations=1_000, incredulous=True),
    ],
    ids=["one accuser is believed", "nobody denies", "nobody believes"],
)
def test_a_deliberate_bug_is_found(bugs: Bugs) -> None:
    assert any(run_story(seed, 100, bugs) for seed in range(5))


def test_the_parted_forget_each_other_and_meet_again() -> None:
    world = World(5, 100, NONE)
    apart = set(list(world.nodes)[:30])
    inside = [world.nodes[node] for node in apart]
    outside = [node for node in world.nodes.values() if node.id not in apart]
    world.run(1.0)
    world.cut_off(apart)
    world.run(4.5)
    assert all(apart <= node.hidden for node in outside)
    assert all(len(node.hidden) > len(outside) / 2 for node in inside)
    world.heal()
    for number in range(6):
        world.link(inside[number].id, outside[number].id)
    world.run(12.0)
    assert not any(node.hidden for node in world.nodes.values())
