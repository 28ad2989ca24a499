"""Which peers are asked whether they reach this node, when, and what they have said. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from random import Random

from dht.reach_verdict import Sighting
from mesh.ids import NodeId
from mesh.links.hosts import is_inside, network_of

WANTED = 3
"""Peers that are heard, in different networks where there are some."""
WANTED_IN_DOUBT = 5
"""The same, when they contradict each other."""
AGAIN_FIRST, AGAIN_MOST = 60.0, 1_800.0
"""Seconds until all are asked anew, doubled from first to most while they say nothing new."""
RETRY = 30.0
"""Seconds until a peer that gave no answer is asked again."""
MAX_FAILED = 64
"""Peers without an answer that are remembered."""


class Witnesses:
    """What was said since the last time that everybody was to be asked anew."""

    def __init__(self) -> None:
        self._heard: dict[NodeId, Sighting] = {}
        self._failed: dict[NodeId, float] = {}
        self._pause = AGAIN_FIRST
        self._since = self._again = float("-inf")
        """When everybody was last to be asked anew, and is next."""

    @property
    def sightings(self) -> Sequence[Sighting]:
        """What counts now: at most WANTED_IN_DOUBT of peers elsewhere, and as many local ones."""
        return list(self._heard.values())

    def choose(self, linked: Mapping[NodeId, str], now: float, rng: Random) -> list[NodeId]:
        """Whom to ask now, of the linked peers and their hosts.

        Peers at outside addresses come first: those in this node's own networks can only tell
        about these.
        """
        if now >= self._again:
            self._heard.clear()
            self._since, self._again = now, now + self._pause * rng.uniform(0.9, 1.1)
            self._pause = min(AGAIN_MOST, self._pause * 2)
        wanted = WANTED_IN_DOUBT if self._in_doubt() else WANTED
        fresh = {
            node: host
            for node, host in linked.items()
            if node not in self._heard and self._failed.get(node, 0.0) <= now
        }
        networks = {network_of(each.host) for each in self._heard.values()}
        chosen: list[NodeId] = []
        for inside in (False, True):
            heard = sum(inside or not is_inside(each.host) for each in self._heard.values())
            pool = {node: host for node, host in fresh.items() if is_inside(host) is inside}
            room = wanted - heard - len(chosen)
            chosen += _spread(pool, networks, room, rng)
        return chosen

    def hear(self, sighting: Sighting) -> None:
        """Keep what a peer said."""
        self._failed.pop(sighting.peer, None)
        self._heard[sighting.peer] = sighting

    def doubt(self, node: NodeId) -> None:
        """A peer has a new link: it may see this node elsewhere now, so ask it again."""
        self._heard.pop(node, None)

    def fail(self, node: NodeId, now: float) -> None:
        """A peer gave no answer."""
        self._failed = {each: until for each, until in self._failed.items() if until > now}
        if len(self._failed) >= MAX_FAILED:
            del self._failed[next(iter(self._failed))]
        self._failed[node] = now + RETRY

    def hurry(self) -> None:
        """Something has changed: ask everybody anew soon, and again soon after that."""
        self._pause = AGAIN_FIRST
        self._again = min(self._again, self._since + AGAIN_FIRST)

    def forget(self) -> None:
        """This node is somewhere else now: nothing counts any more."""
        self._heard.clear()
        self._failed.clear()
        self._pause, self._again = AGAIN_FIRST, float("-inf")

    def next_due(self) -> float:
        """When everybody is to be asked anew."""
        return self._again

    def gone(self, linked: Collection[NodeId]) -> bool:
        """Whether none of those heard is linked any more: the way out may have changed."""
        return bool(self._heard) and not any(node in linked for node in self._heard)

    def _in_doubt(self) -> bool:
        spoken = [bool(each.reached) for each in self._heard.values() if each.outcomes]
        return len(set(spoken)) > 1


def _spread(pool: Mapping[NodeId, str], networks: set[str], room: int, rng: Random) -> list[NodeId]:
    """Up to `room` of the pool, first those in networks not in `networks`, which is added to."""
    waiting = sorted(pool)
    rng.shuffle(waiting)
    chosen: list[NodeId] = []
    for fresh_only in (True, False):
        for node in waiting:
            network = network_of(pool[node])
            if len(chosen) >= room:
                return chosen
            if node not in chosen and not (fresh_only and network in networks):
                chosen.append(node)
                networks.add(network)
    return chosen
