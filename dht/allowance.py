"""How much work each peer may cause: a token bucket per peer, for a bounded number of peers.

A peer is a node id, or a host where node ids are too cheap to count.
"""

from __future__ import annotations

from collections import OrderedDict

MAX_PEERS = 1_024
"""Peers remembered; the one heard of longest ago is forgotten, which refills its bucket."""


class Allowance:
    """`rate` units a second, up to `burst` at once, for each peer."""

    def __init__(self, *, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, peer: str, units: float, now: float) -> bool:
        """Whether the peer may cause so much now; if so it is counted."""
        left = self._left(peer, now)
        granted = left >= units
        self._set(peer, left - units if granted else left, now)
        return granted

    def reserve(self, peer: str, units: float, now: float) -> float:
        """Count so much in any case; returns the seconds to wait before causing it."""
        left = self._left(peer, now) - units
        self._set(peer, left, now)
        return max(0.0, -left / self._rate)

    def _set(self, peer: str, left: float, now: float) -> None:
        self._buckets[peer] = (left, now)
        self._buckets.move_to_end(peer)
        while len(self._buckets) > MAX_PEERS:
            self._buckets.popitem(last=False)

    def _left(self, peer: str, now: float) -> float:
        left, at = self._buckets.get(peer, (self._burst, now))
        return min(self._burst, left + (now - at) * self._rate)
