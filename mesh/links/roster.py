"""The links of a node: the one in use per peer, and replaced ones that are still emptying."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from mesh.ids import NodeId
from mesh.links.link import MeshLink
from mesh.wire.frames import DRAINING, GoawayCode

log = logging.getLogger(__name__)

Watcher = Callable[[MeshLink, bool], None]
"""Told of each link that became current (True) or ceased to be (False)."""

MAX_DRAINING = 64
"""Replaced links whose last streams still run; beyond it the oldest is closed."""


class Roster:
    """Keeps exactly one current link per peer and tells watchers when it changes."""

    def __init__(self) -> None:
        self._current: dict[NodeId, MeshLink] = {}
        self._draining: dict[MeshLink, None] = {}
        self._watchers: list[Watcher] = []

    def __len__(self) -> int:
        return len(self._current)

    def __iter__(self) -> Iterator[MeshLink]:
        """Every link with an open pipe, current or not."""
        yield from list(self._current.values())
        yield from list(self._draining)

    def get(self, node: NodeId) -> MeshLink | None:
        """The current link to a node."""
        return self._current.get(node)

    def current(self) -> list[MeshLink]:
        """Every current link."""
        return list(self._current.values())

    def watch(self, watcher: Watcher) -> None:
        """Be told of links that become or cease to be current."""
        self._watchers.append(watcher)

    def add(self, link: MeshLink) -> None:
        """Make a link the current one of its peer; the former one empties."""
        former = self._current.get(link.peer)
        if former is not None:
            self.retire(former, GoawayCode.SUPERSEDED, "another link is used from now on")
        for old in self._draining:
            if old.peer == link.peer:
                old.successor = link
        self._current[link.peer] = link
        self._tell(link, True)

    def retire(self, link: MeshLink, code: GoawayCode, reason: str) -> None:
        """Use a link no more for new streams; it ends when its streams have."""
        if self._current.get(link.peer) is link:
            del self._current[link.peer]
            self._tell(link, False)
        if link.closed:
            return
        self._draining[link] = None
        link.drain(code, reason)
        while len(self._draining) > MAX_DRAINING:
            next(iter(self._draining)).close(GoawayCode.CLOSING, "replaced long ago")

    def gone_away(self, link: MeshLink, code: int) -> None:
        """The peer opens no more streams on a link; this side follows."""
        if code == GoawayCode.SUPERSEDED and self._current.get(link.peer) is link:
            return  # the link that replaces it is about to come up here, and retires this one
        if code in DRAINING:
            self.retire(link, GoawayCode(code), "agreed")

    def remove(self, link: MeshLink) -> None:
        """The link has ended."""
        self._draining.pop(link, None)
        if self._current.get(link.peer) is link:
            del self._current[link.peer]
            self._tell(link, False)

    def _tell(self, link: MeshLink, up: bool) -> None:
        for watcher in self._watchers:
            try:
                watcher(link, up)
            except Exception:  # a watcher's bug must not cost the link, nor other watchers the news
                log.exception("link watcher failed node=%s", link.peer)
