"""What is pushed to one linked peer: records and losses at once, load a few times a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mesh.capability import Load
from mesh.errors import LinkError
from mesh.ids import NodeId
from mesh.ports import Link, Priority, Stream, StreamKind
from mesh.wire.discovery import (
    MAX_BATCH,
    DiscoveryMessage,
    LoadReport,
    Lost,
    encode,
    pack_records,
)

LOAD_EVERY = 0.2
"""Seconds between two load reports on one link."""

Lookup = Callable[[NodeId], tuple[float, bytes] | None]


class LinkFeed:
    """Queues by node, so a slow peer gets the newest word once and the queue cannot outgrow the
    directory."""

    def __init__(self, link: Link, remaining: Lookup, load: Load) -> None:
        self.link = link
        self._remaining = remaining
        self._records: dict[NodeId, None] = {}
        self._lost: dict[NodeId, int] = {}
        self._load = load
        self._sent_load = Load()
        self._news = asyncio.Event()
        self._new_load = asyncio.Event()
        self._idle = asyncio.Event()

    def push_record(self, node: NodeId) -> None:
        """Send the node's record as it is then."""
        self._records[node] = None
        self._lost.pop(node, None)
        self._wake()

    def push_lost(self, node: NodeId, seq: int) -> None:
        """Send that the node was lost."""
        self._lost[node] = seq
        self._wake()

    def push_load(self, load: Load) -> None:
        """Send this node's load, unless it is what the peer knows."""
        self._load = load
        self._new_load.set()

    async def flushed(self) -> None:
        """Return when everything pushed so far was handed to the link."""
        await self._idle.wait()

    async def run_news(self) -> None:
        """Push records and losses until the link ends."""
        try:
            stream = self.link.open(StreamKind.DIRECTORY, priority=Priority.CONTROL)
            while True:
                await self._news.wait()
                self._news.clear()
                for message in self._take():
                    await stream.send(encode(message))
                if not self._news.is_set():
                    self._idle.set()
        except LinkError:
            self._idle.set()

    async def run_load(self) -> None:
        """Push load until the link ends; no stream is opened before there is load to tell."""
        stream: Stream | None = None
        try:
            while True:
                if self._load == self._sent_load:
                    await self._new_load.wait()
                self._new_load.clear()
                if stream is None:
                    stream = self.link.open(StreamKind.STATUS, priority=Priority.CONTROL)
                self._sent_load = self._load
                await stream.send(encode(LoadReport(self._sent_load)))
                await asyncio.sleep(LOAD_EVERY)
        except LinkError:
            return

    def _wake(self) -> None:
        self._idle.clear()
        self._news.set()

    def _take(self) -> list[DiscoveryMessage]:
        records, self._records = self._records, {}
        lost, self._lost = list(self._lost.items()), {}
        items = [item for item in map(self._remaining, records) if item is not None]
        messages: list[DiscoveryMessage] = list(pack_records(items))
        for start in range(0, len(lost), MAX_BATCH):
            messages.append(Lost(tuple(lost[start : start + MAX_BATCH])))
        return messages
