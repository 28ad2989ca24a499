"""With whom to keep links, so that news reaches everybody over few of them. Pure.

Half of the neighbours are those nearest by id, which ties the nodes into a ring-like whole; half
are random, which keeps every node a few hops from every other. What is linked already is preferred,
so that the choice is stable and costs few dials. A few coordinators come on top.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from random import Random
from typing import Literal

from mesh.ids import NodeId

TARGET = 8
"""Neighbours a node chooses; chosen by others as well it has about twice as many links."""
COORDINATORS = 2
"""Coordinators a node keeps links to when it can: one may die at any moment."""

Coordinating = Literal["no", "claims", "is"]
"""What is known of a node as a coordinator: "is" once a link has shown its grant."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A known node. `dialable`: it has an address and did not fail lately."""

    node: NodeId
    linked: bool
    dialable: bool
    coordinating: Coordinating = "no"


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
    coordinators: int = COORDINATORS,
) -> Plan:
    """Choose up to `target` neighbours and, beyond them, up to `coordinators` coordinators.

    `current` are those chosen before.
    """
    usable = {each.node: each for each in candidates if each.linked or each.dialable}
    chosen = dict.fromkeys(_coordinators(usable.values(), current, rng, coordinators))
    most = len(chosen) + target
    place = int(own, 16)
    by_distance = sorted(usable.keys() - chosen.keys(), key=lambda node: int(node, 16) ^ place)
    chosen.update(dict.fromkeys(by_distance[: (target + 1) // 2]))
    rest = [usable[node] for node in by_distance if node not in chosen]
    rng.shuffle(rest)
    rest.sort(key=lambda each: (not each.linked, each.node not in current))
    for each in rest[: most - len(chosen)]:
        chosen[each.node] = None
    dial = tuple(node for node in chosen if not usable[node].linked)
    return Plan(frozenset(chosen), dial)


def _coordinators(
    usable: Iterable[Candidate], current: Collection[NodeId], rng: Random, most: int
) -> list[NodeId]:
    """Those whose grant was seen first; those that only say so are dialled to see it."""
    found = [each for each in usable if each.coordinating != "no"]
    rng.shuffle(found)
    found.sort(key=lambda each: (each.coordinating != "is", each.node not in current))
    return [each.node for each in found[:most]]
