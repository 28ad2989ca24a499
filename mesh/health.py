"""How well this node itself is doing: whether it may trust its own sense of time. Pure.

A node whose event loop wakes late hears its peers late, too. So it waits longer before it calls
anybody silent (Lifeguard's local health multiplier, Dadgar et al. 2017, arXiv 1707.00788), and says
of itself that it is degraded when that lasts.
"""

from __future__ import annotations

import math

FREE_LAG = 0.05
"""Seconds a wake-up may be late before it counts: ordinary on a busy machine."""
LAG_UNIT = 0.15
"""Seconds of lag that add one to the patience."""
MOST_PATIENCE = 4.0
"""Silence is never counted against a peer for longer than this many times the usual."""
HALF_LIFE = 1.5
"""Seconds in which a lag that is over counts half."""
MEAN_OVER = 5.0
"""Seconds over which the lag is averaged before it makes a node degraded."""
LONGEST_LAG = 1.0
"""Seconds that one late wake-up counts at most: a laptop that slept is not overloaded, nor patient
for long after."""
DEGRADED_AT, WELL_AT = 0.25, 0.1
"""Seconds of average lag from which a node is degraded, and below which it is well again."""
CRASHES = 3
"""Crashes in a row that make a service a failing one."""
FAILING_FOR = 60.0
"""Seconds after its last crash that a service counts as failing; restarts wait 30 s at most."""
MAX_SERVICES = 64
"""Failing services remembered."""


class LocalHealth:
    """Told of wake-ups and crashes; says how patient to be and what is wrong."""

    def __init__(self) -> None:
        self._lag = 0.0
        self._mean = 0.0
        self._at = -math.inf
        self._overloaded = False
        self._crashed: dict[str, tuple[int, float]] = {}

    def woke(self, lag: float, elapsed: float, now: float) -> None:
        """A sleep of some time took `elapsed` seconds, `lag` more than it should have."""
        lag = min(lag, LONGEST_LAG)
        self._lag = max(lag, self._faded(now))
        self._at = now
        share = 1.0 - math.exp(-max(0.0, elapsed) / MEAN_OVER)
        self._mean += (lag - self._mean) * share
        limit = WELL_AT if self._overloaded else DEGRADED_AT
        self._overloaded = self._mean > limit

    def crashed(self, service: str, in_a_row: int, now: float) -> None:
        """A supervised service has crashed, so many times without having run for long."""
        if service in self._crashed or len(self._crashed) < MAX_SERVICES:
            self._crashed[service] = (in_a_row, now)

    def patience(self, now: float) -> float:
        """By what to multiply every wait before another node is accused: 1.0 when all is well."""
        late = max(0.0, self._faded(now) - FREE_LAG)
        return min(MOST_PATIENCE, 1.0 + late / LAG_UNIT)

    def trouble(self, now: float) -> str:
        """What is wrong, in words for people; "" when nothing is. Steady: it is published."""
        failing = [
            service
            for service, (in_a_row, at) in self._crashed.items()
            if in_a_row >= CRASHES and now - at < FAILING_FOR
        ]
        if failing:
            return f"{', '.join(sorted(failing)[:3])} crashes again and again"
        if self._overloaded:
            return "the machine is overloaded: this node runs late"
        return ""

    def _faded(self, now: float) -> float:
        return self._lag * math.exp2(-max(0.0, now - self._at) / HALF_LIFE)
