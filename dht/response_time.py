"""How long to wait for an answer before asking somebody else: learned, not fixed."""

from __future__ import annotations

FIRST = 0.5
"""Seconds before anything was measured."""
LEAST = 0.1
MOST = 1.5
"""Seconds between which the patience stays."""


class ResponseTime:
    """Smoothed response time and its deviation, as TCP keeps them (RFC 6298 section 2)."""

    def __init__(self) -> None:
        self._mean: float | None = None
        self._deviation = 0.0

    @property
    def patience(self) -> float:
        """Seconds after which an answer counts as overdue; it is still taken when it comes."""
        if self._mean is None:
            return FIRST
        return min(MOST, max(LEAST, self._mean + 4 * self._deviation))

    def measured(self, seconds: float) -> None:
        """Learn from one answer, overdue ones too, or patience could never grow."""
        seconds = min(seconds, 2 * MOST)
        if self._mean is None:
            self._mean, self._deviation = seconds, seconds / 2
            return
        self._deviation += (abs(seconds - self._mean) - self._deviation) / 4
        self._mean += (seconds - self._mean) / 8
