"""Whether this node has outgrown what its owner allows it, in main or in graphics memory."""

from __future__ import annotations

import time

import psutil

LOOK_EVERY = 0.5
"""Seconds for which one look at the process's memory is good."""


class MemoryCap:
    """Asked for every offer, so it looks at the process at most twice a second."""

    def __init__(self, most: int | None) -> None:
        """`most` in bytes, children included; None: no cap."""
        self.most = most
        self._process = psutil.Process()
        self._looked_at = float("-inf")
        self._over = False

    def exceeded(self) -> bool:
        """True when no new job should be taken."""
        if self.most is None:
            return False
        now = time.monotonic()
        if now - self._looked_at >= LOOK_EVERY:
            self._looked_at = now
            self._over = self._resident() > self.most
        return self._over

    def _resident(self) -> int:
        total = int(self._process.memory_info().rss)
        for child in self._process.children(recursive=True):
            try:
                total += int(child.memory_info().rss)
            except psutil.NoSuchProcess:
                continue
        return total


class GpuMemoryCap:
    """Compares what somebody else measures with what is allowed."""

    def __init__(self, most: int | None) -> None:
        """`most` in bytes over all cards; None: no cap."""
        self.most = most
        self.used: int | None = None
        """Bytes in use when last looked at; None: not known."""

    def exceeded(self) -> bool:
        """True when no new job should be taken."""
        return self.most is not None and self.used is not None and self.used > self.most
