"""Keeps this node known to edge routers while it can be dialled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from random import Random

from dht.directory import Directory
from dht.edge_client import EdgeClient, EdgeError
from dht.kademlia import is_dialable
from mesh.lifecycle import Tasks

log = logging.getLogger(__name__)

ANNOUNCE_EVERY = 3_600.0
"""Seconds between announcements; each pause here is +-20 %."""
RETRY_FIRST = 1.0
RETRY_MOST = 60.0
"""Seconds after a failed one, doubled from first to most: an edge may start after its nodes."""


class EdgeAnnouncer:
    """Call `start` after the directory's first `set_own`; the owner closes `tasks`."""

    def __init__(
        self,
        *,
        directory: Directory,
        edges: Sequence[EdgeClient],
        tasks: Tasks,
        rng: Random | None = None,
        reachable: Callable[[], bool] = lambda: True,
    ) -> None:
        """`reachable` tells whether nodes elsewhere can dial this one, as far as is known."""
        self._directory = directory
        self._edges = edges
        self._tasks = tasks
        self._rng = rng or Random()
        self._reachable = reachable

    def start(self) -> None:
        """Announce to each edge now and hourly."""
        for edge in self._edges:
            self._tasks.supervise(partial(self._run, edge), "announce")

    async def _run(self, edge: EdgeClient) -> None:
        retry = RETRY_FIRST
        while True:
            announced = await self._announce(edge)
            pause = ANNOUNCE_EVERY if announced else retry
            retry = RETRY_FIRST if announced else min(RETRY_MOST, retry * 2)
            await asyncio.sleep(pause * self._rng.uniform(0.8, 1.2))

    async def _announce(self, edge: EdgeClient) -> bool:
        """Whether the edge took it. A node that cannot be dialled says nothing."""
        signed = self._directory.own_signed
        if signed is None or not self._reachable():
            return False
        if not any(map(is_dialable, signed.record.addresses)):
            return False
        try:
            await edge.announce(signed)
        except EdgeError as error:
            log.info("not announced: %s", error)
            return False
        return True
