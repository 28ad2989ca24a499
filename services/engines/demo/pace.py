"""Spreads tokens evenly over time."""

from __future__ import annotations

MOST_LAG = 1.0
"""Seconds a slow reader may lag and still catch up; later the schedule starts anew, so that a
stalled reader is not flooded."""


class Pace:
    """A schedule of tokens per second. Waiting late does not shift what follows: no drift."""

    def __init__(self, rate: float) -> None:
        self._interval = 1.0 / rate
        self._due: float | None = None

    def wait_for(self, tokens: int, now: float) -> float:
        """Seconds to wait before these tokens may be given out. The first token never waits."""
        if self._due is None or now - self._due > MOST_LAG:
            self._due = now - self._interval
        self._due += tokens * self._interval
        return max(0.0, self._due - now)
