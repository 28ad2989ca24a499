"""Is the other end still there: a pure count of silence.

Silence is counted in this node's own waking time: a tick that comes late adds no more than two
intervals, so a node that was itself stopped or busy accuses nobody (the idea of Lifeguard,
Dadgar et al. 2017, arXiv 1707.00788).
"""

from __future__ import annotations

from typing import Literal

TICK = 0.2
"""Seconds between two looks at all links."""
PING_AFTER = 0.75
"""Seconds of silence before a ping: at most about one small frame a second on an idle link."""
DEAD_AFTER = 1.7
"""Seconds of silence, a ping unanswered, before the link is given up; with the ticks <= 2 s."""

Verdict = Literal["fine", "ping", "dead"]


class Vigil:
    """Watches one link."""

    __slots__ = ("heard", "silence")

    def __init__(self) -> None:
        self.heard = True
        """Set by every received byte."""
        self.silence = 0.0

    def tick(self, elapsed: float, patience: float = 1.0) -> Verdict:
        """Count `elapsed` seconds since the last tick and say what to do.

        `patience` stretches the time until a link is given up while this node itself is late
        (`mesh.health`).
        """
        if self.heard:
            self.heard = False
            self.silence = 0.0
            return "fine"
        self.silence += min(elapsed, 2 * TICK)
        if self.silence >= DEAD_AFTER * patience:
            return "dead"
        return "ping" if self.silence >= PING_AFTER else "fine"
