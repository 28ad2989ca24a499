"""How much work each peer may cause: a token bucket per peer, for a bounded number of peers."""

from __future__ import annotations

from collections import OrderedDict

from mesh.ids import NodeId

MAX_PEERS = 1_024
"""Peers remembered; the one heard of longest ago is forgotten, which refills its bucket."""


class Allowance:
    """`rate` units a second, up to `burst` at once, for each peer."""

    def __init__(self, *, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: OrderedDict[NodeId, tuple[float, float]] = OrderedDict()

    def take(self, peer: NodeId, units: float, now: float) -> bool:
        """Whether the peer may cause so much now; if so it is counted."""
        left = self._left(peer, now)
        granted = left >= units
        self._buckets[peer] = (left - units if granted else left, now)
        self._buckets.move_to_end(peer)
        while len(self._buckets) > MAX_PEERS:
            self._buckets.popitem(last=False)
        return granted

    def wait(self, peer: NodeId, units: float, now: float) -> float:
        """Seconds until so much will be granted; 0.0 when it is now. More than `burst` never is."""
        return max(0.0, (min(units, self._burst) - self._left(peer, now)) / self._rate)

    def _left(self, peer: NodeId, now: float) -> float:
        left, at = self._buckets.get(peer, (self._burst, now))
        return min(self._burst, left + (now - at) * self._rate)
