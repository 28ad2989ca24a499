"""How many strangers may be in the middle of a handshake."""

from __future__ import annotations

import ipaddress
from collections import Counter

MAX_PENDING = 512
"""Handshakes at once; one costs about 1.2 ms of CPU and 60 KiB."""
MAX_PENDING_SOURCE = 64
"""Of these from one host. Hosts behind one address share it; loopback, where reverse proxies and
whole test meshes come from, is not limited further."""


class HandshakeGate:
    """Counts pending handshakes, in all and per source host."""

    def __init__(self, most: int = MAX_PENDING, most_per_source: int = MAX_PENDING_SOURCE) -> None:
        self._most = most
        self._most_per_source = most_per_source
        self._pending: Counter[str] = Counter()
        self._total = 0

    def enter(self, source: str) -> bool:
        """True when another handshake from that host may begin; then call `leave` once."""
        limited = self._pending[source] >= self._most_per_source and not _is_loopback(source)
        if self.full or limited:
            return False
        self._pending[source] += 1
        self._total += 1
        return True

    def leave(self, source: str) -> None:
        """A handshake from that host is over."""
        self._total -= 1
        self._pending[source] -= 1
        if self._pending[source] <= 0:
            del self._pending[source]

    @property
    def full(self) -> bool:
        """No further one may begin, from whatever host."""
        return self._total >= self._most

    @property
    def busiest(self) -> str:
        """The host that most of them are from; there must be one."""
        return max(self._pending, key=self._pending.__getitem__)

    def __len__(self) -> int:
        return self._total


def _is_loopback(source: str) -> bool:
    try:
        return ipaddress.ip_address(source).is_loopback
    except ValueError:
        return False
