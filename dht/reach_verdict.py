"""What follows from what peers say about reaching this node. Pure.

    unknown ── peers have tried ──► local     they are in this node's own networks, and reach it
                                  ► public    others reach it at an address of its own
                                  ► mapped    others reach it at its router's outside address
                                  ► private   they do not reach it

Every peer has one voice, and the majority holds. Once two have agreed, one alone changes nothing,
so that a single liar can neither cut a node off nor have an address told that does not work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mesh.ids import NodeId
from mesh.links.hosts import host_of, is_inside
from mesh.wire.reach import Outcome

ReachState = Literal["unknown", "local", "public", "mapped", "private"]

QUORUM = 2
"""Voices that a finding needs where so many were heard."""
MAX_OUTSIDE = 4
"""Outside hosts and working addresses kept, those with the most voices."""
BELIEVED_FOR = 7_200.0
"""Seconds after which one voice alone may overturn what several had said: they may be gone."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What one peer saw and tried."""

    peer: NodeId
    host: str
    """Where the peer is, as this node sees it."""
    observed: str
    """Where this node is, as the peer sees it."""
    outcomes: Mapping[str, Outcome]
    """By address; all lead to `observed`. Empty: the peer did not try."""
    at: float

    @property
    def reached(self) -> frozenset[str]:
        """Addresses at which the peer has found this node."""
        right = (url for url, outcome in self.outcomes.items() if outcome == "reached")
        return frozenset(url for url in right if host_of(url) == self.observed)


@dataclass(frozen=True, slots=True)
class Finding:
    """What is held to be true."""

    state: ReachState = "unknown"
    addresses: tuple[str, ...] = ()
    """By which nodes elsewhere reach this one."""
    outside: tuple[str, ...] = ()
    """Hosts that nodes elsewhere see this one as."""
    voices: int = 0
    """Peers that say so."""
    at: float = 0.0
    """When this was last found."""


UNKNOWN = Finding()


def judge(
    sightings: Sequence[Sighting], own_hosts: Collection[str], before: Finding, now: float
) -> Finding:
    """The finding that these sightings give; `before` where they do not suffice.

    `own_hosts` are the addresses of this machine's interfaces.
    """
    outer = _from_outside(sightings)
    counted = outer or _from_inside(sightings) or sightings
    spoken = [each for each in counted if each.outcomes]
    yes = [each for each in spoken if each.reached]
    no = len(spoken) - len(yes)
    quorum = _quorum(len(spoken), before, now, outer=bool(outer))
    if len(yes) == no or max(len(yes), no) < quorum:
        return before
    seen = outside_hosts(spoken, own_hosts)
    if len(yes) < no:
        return Finding("private", (), seen, no, now)
    working = _most_named([each.reached for each in yes], least=quorum)
    if not working:  # reached, yet each at another address: none is one to tell
        return before
    if all(host_of(url) not in own_hosts for url in working):
        return Finding("mapped", working, seen, len(yes), now)
    return Finding("public" if outer else "local", working if outer else (), seen, len(yes), now)


def outside_hosts(sightings: Sequence[Sighting], own_hosts: Collection[str]) -> tuple[str, ...]:
    """Hosts other than its own that peers see this node as, what most see first."""
    return _most_named([[each.observed] for each in sightings if each.observed not in own_hosts])


def _from_outside(sightings: Sequence[Sighting]) -> Sequence[Sighting]:
    """Those of peers at outside addresses.

    Who sees this node at a private address, or at the same address at which this node sees it, sits
    behind the same router: its way back ends there.
    """
    outside = [each for each in sightings if not is_inside(each.host)]
    return [each for each in outside if each.observed != each.host and not is_inside(each.observed)]


def _from_inside(sightings: Sequence[Sighting]) -> Sequence[Sighting]:
    """Those of peers in private networks; where they see this node must be in one as well."""
    inside = (each for each in sightings if is_inside(each.host))
    return [each for each in inside if is_inside(each.observed)]


def _quorum(heard: int, before: Finding, now: float, *, outer: bool) -> int:
    """Voices needed. What peers inside have found binds nobody outside."""
    binding = before.voices >= QUORUM and now - before.at < BELIEVED_FOR
    if binding and not (outer and before.state == "local"):
        return QUORUM
    return max(1, min(QUORUM, heard))


def _most_named(lists: Sequence[Collection[str]], least: int = 1) -> tuple[str, ...]:
    """What at least so many name, what most name first."""
    counted = Counter(item for each in lists for item in each)
    named = sorted((-count, item) for item, count in counted.items() if count >= least)
    return tuple(item for _, item in named[:MAX_OUTSIDE])
