"""With whom to keep links, so that news reaches everybody over few of them. Pure.

Half of the neighbours are those nearest by id, which ties the nodes into a ring-like whole; half
are random, which keeps every node a few hops from every other. What is linked already is preferred,
so that the choice is stable and costs few dials.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from random import Random

from mesh.ids import NodeId

TARGET = 8
"""Neighbours a node chooses; chosen by others as well it has about twice as many links."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A known node. `dialable`: it has an address and did not fail lately."""

    node: NodeId
    linked: bool
    dialable: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """Links to keep when idle ones are let go, and nodes to dial."""

    keep: frozenset[NodeId]
    dial: tuple[NodeId, ...]


def plan_neighbours(
    own: NodeId,
    candidates: Iterable[Candidate],
    current: Collection[NodeId],
    rng: Random,
    *,
    target: int = TARGET,
) -> Plan:
    """Choose up to `target` neighbours; `current` are those chosen before."""
    usable = {each.node: each for each in candidates if each.linked or each.dialable}
    place = int(own, 16)
    by_distance = sorted(usable, key=lambda node: int(node, 16) ^ place)
    chosen = dict.fromkeys(by_distance[: (target + 1) // 2])
    rest = [usable[node] for node in by_distance if node not in chosen]
    rng.shuffle(rest)
    rest.sort(key=lambda each: (not each.linked, each.node not in current))
    for each in rest[: target - len(chosen)]:
        chosen[each.node] = None
    dial = tuple(node for node in chosen if not usable[node].linked)
    return Plan(frozenset(chosen), dial)
