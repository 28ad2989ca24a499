"""What is pushed to one linked peer: records and losses at once, load a few times a second.

Each push is a stream of its own, ended by both sides, so that a link without news counts as idle
and can be let go, and a peer that is slow to take one push is not sent the next.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from dht.suspicion import CONFIRMATIONS
from mesh.capability import Load
from mesh.errors import LinkClosed, StreamReset
from mesh.ids import NodeId
from mesh.ports import Link, Priority, StreamKind
from mesh.wire.discovery import (
    MAX_BATCH,
    DiscoveryMessage,
    LoadReport,
    Loss,
    Lost,
    encode,
    pack_records,
)

log = logging.getLogger(__name__)

LOAD_EVERY = 0.2
"""Seconds between two load reports on one link, unless its owner says otherwise."""
TAKING_TIMEOUT = 10.0
"""Seconds a peer may take for one push; then it is sent the next one all the same."""

Remaining = Callable[[NodeId], tuple[float, bytes] | None]


class LinkFeed:
    """Queues by node: a slow peer gets the newest word once; no queue outgrows the directory."""

    def __init__(
        self,
        link: Link,
        remaining: Remaining,
        load: Load,
        load_pause: Callable[[], float] = lambda: LOAD_EVERY,
    ) -> None:
        """`load_pause`: seconds until the next load report, asked after each."""
        self.link = link
        self._remaining = remaining
        self._load_pause = load_pause
        self._records: dict[NodeId, None] = {}
        self._lost: dict[NodeId, list[Loss]] = {}
        self._load = load
        self._ended = False
        self._news = asyncio.Event()
        self._new_load = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def push_record(self, node: NodeId) -> None:
        """Send the node's record as it is when its turn comes."""
        self._records[node] = None
        self._lost.pop(node, None)
        self._wake()

    def push_lost(self, loss: Loss) -> None:
        """Send that the node was lost; the latest few who say so are enough."""
        held = self._lost.setdefault(loss.node, [])
        if loss not in held:
            held.append(loss)
            del held[:-CONFIRMATIONS]
        self._wake()

    def push_load(self, load: Load) -> None:
        """Send this node's load, unless it is what the peer knows."""
        self._load = load
        self._new_load.set()

    def stop(self) -> None:
        """The link is down: let both loops end."""
        self._ended = True
        for event in (self._news, self._new_load, self._idle):
            event.set()

    async def flushed(self) -> None:
        """Return when the peer has taken everything pushed so far, or never will."""
        await self._idle.wait()

    async def run_news(self) -> None:
        """Push records and losses until the link ends."""
        while True:
            await self._news.wait()
            self._news.clear()
            for message in self._take():
                await self._push(StreamKind.DIRECTORY, message)
            if self._ended:
                return
            if not self._news.is_set():
                self._idle.set()

    async def run_load(self) -> None:
        """Push load until the link ends. A peer that was told nothing takes a node for idle."""
        told = Load()
        while not self._ended:
            if self._load == told:
                await self._new_load.wait()
            self._new_load.clear()
            if self._load != told:
                told = self._load
                await self._push(StreamKind.STATUS, LoadReport(told))
                await asyncio.sleep(self._load_pause())

    async def _push(self, kind: StreamKind, message: DiscoveryMessage) -> None:
        if self._ended:
            return
        try:
            async with asyncio.timeout(TAKING_TIMEOUT):
                stream = self.link.open(kind, priority=Priority.CONTROL)
                await stream.send(encode(message))
                stream.finish()
                await stream.receive()
        except LinkClosed:
            self.stop()
        except (StreamReset, TimeoutError) as error:
            log.debug("a push was not taken node=%s cause=%r", self.link.peer, error)

    def _wake(self) -> None:
        self._idle.clear()
        self._news.set()

    def _take(self) -> list[DiscoveryMessage]:
        records, self._records = self._records, {}
        lost, self._lost = [each for held in self._lost.values() for each in held], {}
        items = [item for item in map(self._remaining, records) if item is not None]
        messages: list[DiscoveryMessage] = list(pack_records(items))
        for start in range(0, len(lost), MAX_BATCH):
            messages.append(Lost(tuple(lost[start : start + MAX_BATCH])))
        return messages
