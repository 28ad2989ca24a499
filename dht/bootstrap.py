"""How a node finds its first peer, and finds its way back when it has none.

The rungs are tried in order until a link is up: peers remembered from before, addresses given, the
local network, edge routers, DNS names that stand for several nodes.

    first ──── a link comes up ────► joined ◄──┐
      │                                │       │ a link comes up
      └─ somebody was to be reached    │       │
         and was not ──► isolated ◄────┘───────┘
                              no link is left, nobody can be reached

`first`: there is nobody to look for, so this node may be the mesh. `isolated`: there should be
somebody. Both go on trying.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from random import Random
from typing import Literal

from dht.directory import Directory
from dht.edge_client import EdgeClient, EdgeError
from dht.join_address import JoinAddress
from dht.mdns import Mdns
from dht.name_rung import resolve_all
from dht.remembered import RememberedPeers
from mesh.errors import LinkError
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.ports import Link, Links

log = logging.getLogger(__name__)

BootstrapState = Literal["first", "isolated", "joined"]

DIAL_TIMEOUT = 5.0
MAX_DIALS = 4
"""Dials at one time."""
MAX_CANDIDATES = 64
"""Addresses tried on one rung."""
BACKOFF_FIRST = 0.5
BACKOFF_MOST = 60.0
"""Seconds between two climbs of the ladder, doubled from first to most, each +-50 %."""
REVISIT_FIRST, REVISIT = 1.0, 90.0
"""Seconds between looks, while joined, for given and remembered nodes that are not in the view,
doubled from first to most. Nodes that start at the same moment may each reach one other and make
several islands; later it is the other half of a mesh that fell apart."""
FEW_PEERS = 8
"""With fewer, edge routers are asked as well, at the slowest pace only."""
REMEMBER_FIRST, REMEMBER_EVERY = 2.0, 60.0
"""Seconds between savings of the peers that are known, doubled from first to most: a node that is
killed soon after its start comes back to its mesh, too."""

Rung = Callable[[], Awaitable[Iterable[JoinAddress]]]


class Bootstrap:
    """Call `start` after the directory's and `close` before the links'; the owner closes `tasks`.

    Closing also closes the mdns and edge clients it was given.
    """

    def __init__(
        self,
        *,
        own: NodeId,
        links: Links,
        directory: Directory,
        tasks: Tasks,
        addresses: Sequence[JoinAddress] = (),
        remembered: RememberedPeers | None = None,
        mdns: Mdns | None = None,
        edges: Sequence[EdgeClient] = (),
        dns_names: Sequence[JoinAddress] = (),
        rng: Random | None = None,
        on_state: Callable[[BootstrapState], None] | None = None,
    ) -> None:
        self._own = own
        self._links = links
        self._directory = directory
        self._tasks = tasks
        self._given = tuple(addresses)
        self._remembered = remembered
        self._mdns = mdns
        self._edges = tuple(edges)
        self._names = tuple(dns_names)
        self._failures: dict[str, str] = {}
        """The last cause by URL, of what the settings name only."""
        self._rng = rng or Random()
        self._on_state = on_state
        self._state: BootstrapState = "first"
        self._nearby: dict[str, JoinAddress] = {}
        self._answered: dict[str, NodeId] = {}
        self._changed = asyncio.Event()

    @property
    def state(self) -> BootstrapState:
        """Where on the way this node is."""
        return self._state

    def start(self) -> None:
        """Begin to look for peers."""
        self._links.watch(self._on_link)
        if self._mdns is not None:
            self._tasks.spawn(self._start_mdns(self._mdns), "mdns")
        self._tasks.supervise(self._find_peers, "ladder")
        self._tasks.supervise(self._revisit, "revisit")
        if self._remembered is not None:
            self._tasks.supervise(self._remember, "remember")

    async def close(self) -> None:
        """Remember peers once more and leave the local network."""
        if self._remembered is not None:
            self._remembered.save(self._directory.view.peers())
        if self._mdns is not None:
            await self._mdns.close()
        for edge in self._edges:
            await edge.close()

    # ── the ladder ──────────────────────────────────────────────────────────────────────────────

    async def _find_peers(self) -> None:
        """While there is no link: climb, wait, climb again."""
        pause = BACKOFF_FIRST
        # What the local network says comes a moment later: it counts from the second climb on.
        climbs = 1 if self._mdns is None else 2
        while True:
            self._changed.clear()
            if self._links.all():
                pause = BACKOFF_FIRST
                self._set_state("joined")
                await self._changed.wait()
                continue
            reached, tried = await self._climb()
            if not reached and not self._links.all():
                self._set_state("isolated" if tried else "first")
                climbs -= 1
                if climbs <= 0:
                    self._directory.first_look.found_nobody()
                await self._wait(pause * self._rng.uniform(0.5, 1.5))
                pause = min(BACKOFF_MOST, pause * 2)

    async def _climb(self) -> tuple[bool, bool]:
        """Whether a peer was reached, and whether there was anybody to try."""
        tried = False
        for rung in self._rungs():
            candidates = self._foreign(await rung())
            tried = tried or bool(candidates)
            if await self._dial_any(candidates):
                return True, True
        return False, tried or bool(self._edges or self._names)

    def _rungs(self) -> Sequence[Rung]:
        return (
            self._from_memory,
            self._from_settings,
            self._from_network,
            self._from_edges,
            self._from_names,
        )

    async def _from_memory(self) -> Iterable[JoinAddress]:
        known = [
            JoinAddress(address, peer.record.node_id)
            for peer in self._directory.view.peers()
            for address in peer.record.addresses
        ]
        stored = [] if self._remembered is None else list(self._remembered.load())
        self._rng.shuffle(stored)
        return known + stored

    async def _from_settings(self) -> Iterable[JoinAddress]:
        return self._given

    async def _from_network(self) -> Iterable[JoinAddress]:
        return list(self._nearby.values())

    async def _from_edges(self) -> Iterable[JoinAddress]:
        found: list[JoinAddress] = []
        for edge in self._edges:
            try:
                found.extend(await edge.seeds())
            except EdgeError as error:
                self._note_failure(edge.url, str(error), given=True)
        return found

    async def _from_names(self) -> Iterable[JoinAddress]:
        return await resolve_all(self._names)

    def _foreign(self, candidates: Iterable[JoinAddress]) -> list[JoinAddress]:
        """Without this node's own addresses and repetitions."""
        record = self._directory.own
        mine = set() if record is None else set(record.addresses)
        unique = dict.fromkeys(each for each in candidates if each.node != self._own)
        return [each for each in unique if each.url not in mine][:MAX_CANDIDATES]

    async def _dial_any(self, candidates: Sequence[JoinAddress]) -> bool:
        """Dial a few at a time until one answers; dials under way then go on."""
        waiting = list(candidates)
        running: set[asyncio.Task[bool]] = set()
        while waiting or running:
            while waiting and len(running) < MAX_DIALS:
                running.add(self._tasks.spawn(self._dial(waiting.pop(0)), "dial"))
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            if any(not task.cancelled() and task.result() for task in done):
                return True
        return False

    async def _dial(self, address: JoinAddress) -> bool:
        try:
            link = await self._links.connect(address.node, (address.url,), timeout=DIAL_TIMEOUT)
        except LinkError as error:
            self._note_failure(address.url, str(error), given=address in self._given)
            return False
        if address in self._given:
            self._answered[address.url] = link.peer
        return True

    def _note_failure(self, url: str, cause: str, *, given: bool) -> None:
        """The owner hears once why a place that he gave does not answer; others come and go."""
        news = given and self._failures.get(url) != cause
        if given:
            self._failures[url] = cause
        log.log(logging.WARNING if news else logging.DEBUG, "nobody at %s: %s", url, cause)

    # ── beside the ladder ───────────────────────────────────────────────────────────────────────

    async def _start_mdns(self, mdns: Mdns) -> None:
        record = self._directory.own
        await mdns.start(() if record is None else record.addresses, self._found_nearby)

    def _found_nearby(self, found: Sequence[JoinAddress]) -> None:
        """The local network named a node: dial it unless it is known already."""
        for address in found:
            if len(self._nearby) < MAX_CANDIDATES:
                self._nearby[address.url] = address
        node = found[0].node
        if node is not None and self._directory.view.peer(node) is None:
            self._tasks.spawn(self._dial_any(self._foreign(found)), "nearby")

    async def _revisit(self) -> None:
        pause = REVISIT_FIRST
        before = [] if self._remembered is None else list(self._remembered.load())
        while True:
            await asyncio.sleep(pause * self._rng.uniform(0.8, 1.2))
            if self._links.all():
                few = len(self._directory.view.peers()) < FEW_PEERS
                seeds = await self._from_edges() if few and pause >= REVISIT else ()
                stored = before if pause < REVISIT else ()
                await self._dial_unknown([*self._given, *seeds, *stored])
            pause = min(REVISIT, pause * 2)

    async def _dial_unknown(self, addresses: Iterable[JoinAddress]) -> None:
        """Dial a few of those whose nodes are not in the view."""
        unknown = self._foreign(filter(self._is_unknown, addresses))
        chosen = self._rng.sample(unknown, min(MAX_DIALS, len(unknown)))
        await asyncio.gather(*(self._tasks.spawn(self._dial(each), "revisit") for each in chosen))

    def _is_unknown(self, address: JoinAddress) -> bool:
        node = address.node or self._answered.get(address.url)
        return node is None or self._directory.view.peer(node) is None

    async def _remember(self) -> None:
        pause = REMEMBER_FIRST
        while self._remembered is not None:
            await asyncio.sleep(pause * self._rng.uniform(0.8, 1.2))
            self._remembered.save(self._directory.view.peers())
            pause = min(REMEMBER_EVERY, pause * 2)

    def _on_link(self, link: Link, up: bool) -> None:
        self._changed.set()
        if up:
            self._set_state("joined")

    def _set_state(self, state: BootstrapState) -> None:
        if state == self._state:
            return
        log.info("bootstrap state=%s before=%s", state, self._state)
        self._state = state
        if self._on_state is not None:
            self._on_state(state)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return
