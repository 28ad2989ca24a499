"""Replaces links through relays by direct ones wherever one end can dial the other, or both can
meet halfway."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from random import Random

from mesh.capability import NodeRecord
from mesh.errors import LinkError
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.ports import Link, Links

log = logging.getLogger(__name__)

PAUSES = (0.0, 2.0, 15.0, 120.0, 600.0)
"""Seconds before each try, the last for all that follow: an address may begin to work later."""
DIAL_SECONDS = 3.0

Upgrade = Callable[[NodeId, Sequence[str]], Awaitable[Link]]
"""Dials directly although there is a relayed link. Raises LinkError."""
Punch = Callable[[Link], Awaitable[Link]]
"""Punches a hole for a direct link in place of this one. Raises LinkError."""


class Upgrading:
    """Call `start` once the links are up; the owner closes `tasks`. One task a relayed link."""

    def __init__(
        self,
        *,
        own: NodeId,
        links: Links,
        record: Callable[[NodeId], NodeRecord | None],
        upgrade: Upgrade,
        punch: Punch,
        tasks: Tasks,
        rng: Random,
    ) -> None:
        self._links = links
        self._record = record
        self._upgrade = upgrade
        self._punch = punch
        self._tasks = tasks
        self._rng = rng
        self._own = own
        self.upgraded = 0
        """Links that were replaced by direct ones because this node dialled."""

    def start(self) -> None:
        """Begin to watch."""
        self._links.watch(self._on_link)

    def _on_link(self, link: Link, up: bool) -> None:
        if up and link.relayed:
            self._tasks.spawn(self._keep_trying(link), "upgrade")

    async def _keep_trying(self, link: Link) -> None:
        tries = 0
        while self._links.get(link.peer) is link:
            pause = PAUSES[min(tries, len(PAUSES) - 1)]
            await asyncio.sleep(pause * self._rng.uniform(0.8, 1.2))
            tries += 1
            # Both ends would get in each other's way: the second try is the other end's, too.
            punching = self._own < link.peer or tries > 1
            if self._links.get(link.peer) is link and await self._try(link, punching=punching):
                return

    async def _try(self, link: Link, *, punching: bool) -> bool:
        for way in (self._dial, self._punch) if punching else (self._dial,):
            try:
                better = await way(link)
            except LinkError as error:
                log.debug("no direct way node=%s cause=%s", link.peer, error)
                continue
            if not better.relayed:
                self.upgraded += 1
                log.info("relayed link became direct node=%s", link.peer)
                return True
        return False

    async def _dial(self, link: Link) -> Link:
        record = self._record(link.peer)
        known = () if record is None else record.addresses
        direct = [each for each in known if not each.startswith("relay:")]
        if not direct:
            raise LinkError("it has no address that can be dialled")
        return await self._upgrade(link.peer, direct)
