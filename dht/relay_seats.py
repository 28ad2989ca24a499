"""Keeps a node that nobody can dial reachable: links to relays, where it has reserved."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeVar

from dht.relay_choice import SEATS, RelayCandidate, choose_relays
from mesh.capability import NodeRecord, Peer
from mesh.clock import Clock
from mesh.errors import LinkError
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.links.hosts import host_of, is_inside, network_of
from mesh.links.pipe import parse_address, relay_address
from mesh.ports import Link, Links, View

log = logging.getLogger(__name__)

LOOK_EVERY = 2.0
"""Seconds between looks for relays while seats are missing or the node's reach may have changed."""
BALK_SECONDS = 20.0
"""A relay that could not be had is not asked again for so long."""
MAX_BALKS = 256
DIAL_SECONDS = 3.0

Number = TypeVar("Number", int, float)
Reserve = Callable[[Link], Awaitable[int]]
"""Reserves at the other end of a link; its circuits. Raises LinkError."""


class RelaySeats:
    """Call `start` once the links are up; the owner closes `tasks`."""

    def __init__(
        self,
        *,
        own: NodeId,
        needed: Callable[[], bool],
        view: View,
        record: Callable[[NodeId], NodeRecord | None],
        links: Links,
        reserve: Reserve,
        give_up: Callable[[NodeId], None],
        clock: Clock,
        tasks: Tasks,
        rng: Random,
        on_change: Callable[[], None],
    ) -> None:
        self._own = own
        self.needed = needed
        self._view = view
        self._record = record
        self._links = links
        self._reserve = reserve
        self._give_up = give_up
        self._clock = clock
        self._tasks = tasks
        self._rng = rng
        self._on_change = on_change
        self._seats: dict[NodeId, tuple[Link, RelayCandidate, str]] = {}
        self._balks: OrderedDict[NodeId, float] = OrderedDict()
        self._circuits: OrderedDict[NodeId, int] = OrderedDict()
        self._changed = asyncio.Event()

    def addresses(self) -> tuple[str, ...]:
        """By which this node is reached through its relays."""
        return tuple(address for _, _, address in self._seats.values())

    @property
    def relays(self) -> tuple[NodeId, ...]:
        """Where this node has reserved."""
        return tuple(self._seats)

    def start(self) -> None:
        """Begin to look."""
        self._links.watch(self._on_link)
        self._tasks.supervise(self._run, "relay seats")

    def wake(self) -> None:
        """This node's reach has changed: look now."""
        self._changed.set()

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def _on_link(self, link: Link, up: bool) -> None:
        seat = self._seats.get(link.peer)
        if seat is not None and (up or seat[0] is link):
            log.info("relay lost node=%s", link.peer)
            self._leave(link.peer)
            self._on_change()
        if up:
            self._balks.pop(link.peer, None)  # it could not be dialled, but it is back
        if not up or "relay" in link.roles:
            self._changed.set()

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            if self.needed():
                await self._fill()
            elif self._seats:
                for node in list(self._seats):
                    self._leave(node)
                self._on_change()
            try:
                async with asyncio.timeout(LOOK_EVERY * self._rng.uniform(0.8, 1.2)):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _fill(self) -> None:
        seated = [candidate for _, candidate, _ in self._seats.values()]
        if len(seated) >= SEATS:
            return
        chosen = choose_relays(seated, self._candidates(), self._rng)
        if not chosen:
            return
        asking = [self._tasks.spawn(self._take(each), "relay") for each in chosen]
        await asyncio.wait(asking)
        if any(not task.cancelled() and task.result() for task in asking):
            self._on_change()

    def _candidates(self) -> list[RelayCandidate]:
        now = self._clock.now()
        found = []
        for peer in self._view.peers():
            node, at = peer.record.node_id, relay_at(peer.record)
            if at is not None and self._may_relay(peer) and self._balks.get(node, 0.0) <= now:
                circuits = self._circuits.get(node, 0)
                found.append(RelayCandidate(node, *_whereabouts(at), peer.rtt, circuits))
        return found

    def _may_relay(self, peer: Peer) -> bool:
        """A record's claim is only a reason to look; a link's roles are checked."""
        link = self._links.get(peer.record.node_id)
        claims = "relay" in peer.record.roles
        return claims and (link is None or "relay" in link.roles)

    async def _take(self, candidate: RelayCandidate) -> bool:
        record = self._record(candidate.node)
        at = None if record is None else relay_at(record)
        if record is None or at is None:
            return False
        try:
            addresses = [each for each in record.addresses if not each.startswith("relay:")]
            link = await self._links.connect(candidate.node, addresses, timeout=DIAL_SECONDS)
            if "relay" not in link.roles:
                raise LinkError("it may not relay")
            circuits = await self._reserve(link)
        except LinkError as error:
            log.debug("relay not taken node=%s cause=%s", candidate.node, error)
            _put(self._balks, candidate.node, self._clock.now() + BALK_SECONDS)
            return False
        if link.closed or len(self._seats) >= SEATS:
            return False
        _put(self._circuits, candidate.node, circuits)
        address = str(relay_address(parse_address(at), candidate.node, self._own))
        self._seats[candidate.node] = (link, candidate, address)
        self._links.pin(candidate.node)
        log.info("relay taken node=%s circuits=%d", candidate.node, circuits)
        return True

    def _leave(self, node: NodeId) -> None:
        del self._seats[node]
        self._links.pin(node, False)
        self._give_up(node)


def relay_at(record: NodeRecord) -> str | None:
    """By which of its addresses others find a relay: a public plain one where it has any."""
    direct = [url for url in record.addresses if not url.startswith("relay:")]
    return min(direct, key=lambda url: (_is_near(url), not url.startswith("tcp:")), default=None)


def _whereabouts(url: str) -> tuple[str, bool]:
    """The network of an address, or its name, and whether it is a private one."""
    host = host_of(url)
    return (url, False) if host is None else (network_of(host), is_inside(host))


def _is_near(url: str) -> bool:
    host = host_of(url)
    return host is not None and is_inside(host)


def _put(known: OrderedDict[NodeId, Number], node: NodeId, value: Number) -> None:
    known[node] = value
    known.move_to_end(node)
    while len(known) > MAX_BALKS:
        known.popitem(last=False)
