"""How often one source may call: a token bucket for each. Pure and bounded."""

from __future__ import annotations

from collections import OrderedDict

MAX_SOURCES = 10_000
"""Sources remembered; the one heard of longest ago is forgotten."""


class Rates:
    """`rate` calls a second, up to `burst` at once, for each source."""

    def __init__(self, *, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, source: str, now: float) -> float:
        """0.0 when the call may go on (it is counted); otherwise the seconds until it may."""
        left, at = self._buckets.get(source, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._rate)
        allowed = left >= 1
        self._buckets[source] = (left - 1 if allowed else left, now)
        self._buckets.move_to_end(source)
        while len(self._buckets) > MAX_SOURCES:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - left) / self._rate
