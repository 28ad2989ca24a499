"""Links of nodes that ask to be admitted: few, short, and outside of what others see as links."""

from __future__ import annotations

import asyncio

from mesh.links.link import MeshLink
from mesh.wire.frames import GoawayCode

MAX_APPLICANTS = 32
"""Such links at once, both ways together."""
MAX_PER_SOURCE = 8
"""From one host: a household or a laboratory may come together."""
APPLICANT_SECONDS = 20.0
"""How long one may last; a ticket is redeemed in one question and one answer."""


class Applicants:
    """Holds them, counts them, ends them. They never enter the roster, so nobody else uses them."""

    def __init__(self) -> None:
        self._timers: dict[MeshLink, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._timers)

    def has_room(self, source: str) -> bool:
        """Whether one more from that host may wait."""
        theirs = sum(link.source == source for link in self._timers)
        return len(self._timers) < MAX_APPLICANTS and theirs < MAX_PER_SOURCE

    def take(self, link: MeshLink) -> None:
        """Hold a link until it ends, at most APPLICANT_SECONDS."""
        loop = asyncio.get_running_loop()
        self._timers[link] = loop.call_later(APPLICANT_SECONDS, self._late, link)

    def remove(self, link: MeshLink) -> None:
        """The link has ended. Harmless for others."""
        timer = self._timers.pop(link, None)
        if timer is not None:
            timer.cancel()

    def close(self) -> None:
        """End them all."""
        for link in list(self._timers):
            link.close(GoawayCode.CLOSING, "the node stops")

    def _late(self, link: MeshLink) -> None:
        link.close(GoawayCode.CLOSING, "time to be admitted is up: try again")
