"""How fast each source may send through a relay: a part of the whole, and bursts. Pure."""

from __future__ import annotations

from dataclasses import dataclass

RATE = 64 * 1024 * 1024
"""Bytes a second that a relay splices in all unless its owner sets another limit."""
BURST_SECONDS = 0.25
"""A source may be that far ahead of its share."""
ACTIVE_SECONDS = 1.0
"""Who has sent nothing for that long has no share."""
MAX_SOURCES = 4_096
"""Sources that are remembered; the one silent for longest makes room."""


@dataclass(slots=True)
class _Account:
    """When the source's bytes will have been paid for, and when it sent last."""

    paid_until: float
    last: float


class FairShare:
    """Divides a rate evenly among the sources that send now."""

    def __init__(self, rate: float = RATE) -> None:
        self._rate = rate
        self._accounts: dict[str, _Account] = {}
        self._counted_at = float("-inf")
        self._active = 1

    def take(self, source: str, size: int, now: float) -> float:
        """Note `size` bytes of a source; seconds it must rest before it sends more, 0 mostly."""
        account = self._accounts.get(source)
        if account is None:
            account = self._open(source, now)
        self._count(now)
        share = self._rate / self._active
        account.paid_until = max(account.paid_until, now - BURST_SECONDS) + size / share
        account.last = now
        return max(0.0, account.paid_until - now)

    def _open(self, source: str, now: float) -> _Account:
        if len(self._accounts) >= MAX_SOURCES:
            oldest = min(self._accounts, key=lambda name: self._accounts[name].last)
            del self._accounts[oldest]
        account = self._accounts[source] = _Account(now - BURST_SECONDS, now)
        self._active = len(self._accounts)
        return account

    def _count(self, now: float) -> None:
        """Forget who is silent: ten times a second is often enough."""
        if now - self._counted_at < ACTIVE_SECONDS / 10:
            return
        self._counted_at = now
        gone = [name for name, each in self._accounts.items() if now - each.last > ACTIVE_SECONDS]
        for name in gone:
            if self._accounts[name].paid_until <= now:
                del self._accounts[name]
        self._active = max(1, len(self._accounts))
