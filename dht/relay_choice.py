"""At which relays a node that nobody can dial reserves a seat. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

from mesh.ids import NodeId

SEATS = 3
"""Relays at once: one may die, and another be out of somebody's reach."""
LOAD_SECONDS = 0.001
"""What a circuit that a relay carries counts, against the seconds to it and back."""
UNKNOWN_SECONDS = 0.1
"""What the way to a relay counts that was not measured yet."""


@dataclass(frozen=True, slots=True)
class RelayCandidate:
    """A relay that could be asked."""

    node: NodeId
    network: str
    """Which network its address belongs to; "" when unknown."""
    inside: bool = False
    """It names only an address of a private network: nobody elsewhere can dial that."""
    rtt: float | None = None
    circuits: int = 0


def choose_relays(
    seated: Iterable[RelayCandidate], candidates: Sequence[RelayCandidate], rng: Random
) -> list[RelayCandidate]:
    """Whom to ask next, best first: public ones, of other networks before any twice, near, idle."""
    taken = list(seated)
    names = {each.node for each in taken}
    networks = {each.network for each in taken}
    costs = {each.node: _cost(each) * rng.uniform(0.8, 1.2) for each in candidates}
    left = [each for each in candidates if each.node not in names]
    chosen: list[RelayCandidate] = []
    while left and len(taken) + len(chosen) < SEATS:
        best = min(left, key=lambda each: (each.inside, each.network in networks, costs[each.node]))
        left.remove(best)
        chosen.append(best)
        networks.add(best.network)
    return chosen


def _cost(each: RelayCandidate) -> float:
    rtt = UNKNOWN_SECONDS if each.rtt is None else each.rtt
    return rtt + LOAD_SECONDS * each.circuits
