"""Which linked peers are told what: everything this node pushes goes through here."""

from __future__ import annotations

from random import Random

from dht.feed import LOAD_EVERY, LinkFeed, Remaining
from mesh.capability import Load
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.ports import Link
from mesh.wire.discovery import Loss

CHANGE_FANOUT = 16
RENEWAL_FANOUT = 4
"""Linked peers that are told a record which changed, and one which only renews."""
LOSS_FANOUT = 64
"""Linked peers that are told of a loss; only a coordinator has more."""
COORDINATOR_LOAD_EVERY = 1.0
"""Seconds between load reports to a coordinator, which gets them from thousands."""
LOADED_LINKS = 64
"""Links that are told of this node's load as often as may be; with more it takes longer."""


class LinkFeeds:
    """One feed a live link."""

    def __init__(self, *, remaining: Remaining, tasks: Tasks, rng: Random) -> None:
        self._remaining = remaining
        self._tasks = tasks
        self._rng = rng
        self._feeds: dict[NodeId, LinkFeed] = {}
        self._coordinators: set[NodeId] = set()
        self.load = Load()

    def get(self, node: NodeId) -> LinkFeed | None:
        """The feed of a live link."""
        return self._feeds.get(node)

    def add(self, link: Link) -> LinkFeed:
        """A link came up: feed it."""
        coordinator = "coordinator" in link.roles
        least = COORDINATOR_LOAD_EVERY if coordinator else LOAD_EVERY
        feed = LinkFeed(link, self._remaining, self.load, lambda: self._load_pause(least))
        self._feeds[link.peer] = feed
        if coordinator:
            self._coordinators.add(link.peer)
        self._tasks.spawn(feed.run_news(), "news")
        self._tasks.spawn(feed.run_load(), "load")
        return feed

    def remove(self, node: NodeId) -> None:
        """The link is down."""
        self._coordinators.discard(node)
        feed = self._feeds.pop(node, None)
        if feed is not None:
            feed.stop()

    def set_load(self, load: Load) -> None:
        """Tell everybody this node's load."""
        self.load = load
        for feed in self._feeds.values():
            feed.push_load(load)

    def pass_on(self, node: NodeId, source: NodeId, *, renewal: bool) -> None:
        """Tell some peers a node's record."""
        fanout = RENEWAL_FANOUT if renewal else CHANGE_FANOUT
        for peer in self._some_peers(fanout, node, source):
            self._feeds[peer].push_record(node)

    def spread(self, loss: Loss, source: NodeId) -> None:
        """Tell nearly all peers of a loss."""
        for peer in self._some_peers(LOSS_FANOUT, loss.node, source):
            self._feeds[peer].push_lost(loss)

    async def flushed(self) -> None:
        """Return when the peers have taken everything pushed so far, or never will."""
        for feed in list(self._feeds.values()):  # links may end meanwhile
            await feed.flushed()

    def _load_pause(self, least: float) -> float:
        return least * max(1.0, len(self._feeds) / LOADED_LINKS)

    def _some_peers(self, most: int, *but: NodeId) -> list[NodeId]:
        """Coordinators always, and others at random."""
        peers = [peer for peer in self._feeds if peer not in but]
        if len(peers) <= most:
            return peers
        first = self._coordinators.difference(but)
        rest = [peer for peer in peers if peer not in first]
        return [*first, *self._rng.sample(rest, min(len(rest), max(0, most - len(first))))]
