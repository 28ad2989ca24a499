"""All links of a node: accepts, dials, keeps exactly one per peer, watches over them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import Counter
from collections.abc import Callable, Collection, Sequence

from aiohttp import web

from mesh.clock import Clock, SystemClock
from mesh.errors import ConfigError, DialError
from mesh.health import LocalHealth
from mesh.identity.boot import Boot
from mesh.identity.keys import NodeKey
from mesh.identity.trust import Trust
from mesh.ids import MeshId, NodeId
from mesh.lifecycle import Tasks
from mesh.links.address_choice import OwnPlace, choose_addresses
from mesh.links.addresses import listening_urls
from mesh.links.dialling import Dialler, Greet
from mesh.links.entrance import Entrance
from mesh.links.greeting import HANDSHAKE_TIMEOUT
from mesh.links.inspection import Inspection
from mesh.links.link import LinkOwner, MeshLink
from mesh.links.metrics import LinkMetrics
from mesh.links.outbound import Outbound
from mesh.links.pipe import Address, Pipe
from mesh.links.proxy import ProxyRoutes
from mesh.links.punching import Punching
from mesh.links.reception import Conflict, Introduction, Rebuff, Reception
from mesh.links.relaying import Relaying, RelayTerms
from mesh.links.rendezvous import Rendezvous
from mesh.links.roster import Roster
from mesh.links.serving import Serving
from mesh.links.tcp import listen_tcp
from mesh.links.trimming import MAX_IDLE, surplus
from mesh.links.vigil import TICK
from mesh.links.websocket import accept_websocket
from mesh.ports import LinkWatcher, StreamHandler, StreamKind
from mesh.wire.frames import GoawayCode, NoticeCode

log = logging.getLogger(__name__)

MAX_LINKS = 4096
"""Links at once; one costs a file descriptor and about 25 KiB."""
TRIM_EVERY = 5
"""Ticks between two looks for idle links to let go."""
ADDRESSES_FRESH = 5.0
"""Seconds before the machine is asked for its addresses again: that takes half a millisecond."""
_NOTICES = frozenset(NoticeCode)
GOODBYE_PATIENCE = 0.5
"""Seconds for the last bytes to leave when the pool closes."""


class LinkPool:
    """Implements `mesh.ports.Links` over TCP and WebSocket pipes."""

    def __init__(
        self,
        *,
        key: NodeKey,
        mesh_id: MeshId,
        boot: Boot,
        introduce: Callable[[], Introduction] = Introduction,
        listen: tuple[str, int] | None = None,
        inherited: socket.socket | None = None,
        clock: Clock | None = None,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
        max_idle: int = MAX_IDLE,
        max_links: int = MAX_LINKS,
        health: LocalHealth | None = None,
        proxies: ProxyRoutes | None = None,
        relays: RelayTerms | None = None,
        punch: bool = False,
        trust: Trust | None = None,
    ) -> None:
        """`listen` None: only dial (and accept what `accept_websocket` brings). `trust` says who
        may link; None: everybody.

        `inherited` is a socket that listens there already. `relays` None: relay for nobody.
        """
        self._clock = clock or SystemClock()
        self._listen = listen
        self._inherited = inherited
        self._max_idle = max_idle
        self._health = health or LocalHealth()
        self._tasks = Tasks("links")
        self._roster = Roster()
        self._pinned: Counter[NodeId] = Counter()
        """How many parts of this node want the link to each."""
        self._serving = Serving(self._tasks)
        self._held: set[MeshLink] = set()
        """Links whose pipe is not gone yet."""
        self._all_released = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._outbound = Outbound(self._tasks, proxies or ProxyRoutes())
        self._port = 0
        self._addresses: tuple[str, ...] = ()
        self._addresses_until = float("-inf")
        self.place: Callable[[], OwnPlace] = OwnPlace
        """Where this node is, for choosing among a peer's addresses."""
        self.address_book: Callable[[NodeId], Sequence[str]] = lambda node: ()
        """Where else a relay may be dialled than its address says."""
        self.metrics = LinkMetrics()
        self._reception = Reception(
            key=key, mesh_id=mesh_id, boot=boot, introduce=introduce, clock=self._clock, trust=trust
        )
        self._inspection = Inspection(self._reception.trust, self._roster)
        self.rendezvous = Rendezvous()
        self._entrance = self._build_entrance(handshake_timeout, max_links)
        self._dialler = self._build_dialler(self._entrance.dial)
        self._applicant = self._build_dialler(self._entrance.apply)
        self.relaying = self._build_relaying(relays)
        self._serving.serve(StreamKind.RELAY, self.relaying.serve)
        self.punching = self._build_punching(punch)
        self._serving.serve(StreamKind.PUNCH, self.punching.serve)
        self._roster.watch(self._link_changed)

    def _build_entrance(self, handshake_timeout: float, max_links: int) -> Entrance:
        return Entrance(
            rendezvous=self.rendezvous,
            reception=self._reception,
            roster=self._roster,
            owner=self._owner(),
            clock=self._clock,
            metrics=self.metrics,
            handshake_timeout=handshake_timeout,
            max_links=max_links,
        )

    def _build_dialler(self, greet: Greet) -> Dialler:
        return Dialler(tasks=self._tasks, open_pipe=self._open_pipe, greet=greet)

    def _build_relaying(self, relays: RelayTerms | None) -> Relaying:
        return Relaying(
            relays,
            rendezvous=self.rendezvous,
            connect=self._connect_relay,
            open_pipe=self._open_pipe,
            accept=self._entrance.accept_handshake,
            clock=self._clock,
            tasks=self._tasks,
        )

    def _build_punching(self, punch: bool) -> Punching:
        return Punching(
            find=self._roster.get,
            adopt=self._entrance.dial,
            accept=self._entrance.accept_handshake,
            port=lambda: self._port,
            clock=self._clock,
            tasks=self._tasks,
            enabled=punch,
        )

    # ── life ────────────────────────────────────────────────────────────────────────────────────

    async def start(self) -> None:
        """Bind and begin to watch. Raises ConfigError when the address cannot be used."""
        if self._listen is not None:
            self._server = await self._bind(*self._listen)
            self._port = self._server.sockets[0].getsockname()[1]
        self._tasks.supervise(self._watch_over, "watch")

    async def close(self) -> None:
        """Say goodbye to every peer and release everything. Safe to call twice."""
        if self._server is not None:
            self._server.close()
        self._entrance.close()
        self.relaying.close()
        self.rendezvous.close()
        for link in self._roster:
            link.close(GoawayCode.CLOSING, "the node stops")
        self._reception.applicants.close()
        await self._wait_for_pipes()
        await self._tasks.close()
        await self.punching.close()
        await self._outbound.close()

    @property
    def port(self) -> int:
        """The bound mesh port; 0 when the pool does not listen."""
        return self._port

    @property
    def descriptors(self) -> list[int]:
        """Numbers of the listening sockets."""
        sockets = self._server.sockets if self._server is not None else ()
        return [listening.fileno() for listening in sockets]

    @property
    def addresses(self) -> tuple[str, ...]:
        """URLs of the listening socket."""
        if self._listen is None or not self._port:
            return ()
        now = self._clock.now()
        if now >= self._addresses_until:
            self._addresses = listening_urls(self._listen[0], self._port)
            self._addresses_until = now + ADDRESSES_FRESH
        return self._addresses

    @property
    def node_id(self) -> NodeId:
        return self._reception.key.node_id

    @property
    def conflicts(self) -> Sequence[Conflict]:
        """Nodes that seem to run twice under one key, this one included; the latest last."""
        return list(self._reception.conflicts)

    @property
    def rebuffs(self) -> Sequence[Rebuff]:
        """Peers that turned this node away because of who it is; the latest last."""
        return list(self._reception.rebuffs)

    def revoke(self, serials: Collection[str]) -> None:
        """Believe these grants no more: links are refused, and cut, that rest on them."""
        self._reception.trust.revoke_here(serials)

    # ── mesh.ports.Links ────────────────────────────────────────────────────────────────────────

    def get(self, node: NodeId) -> MeshLink | None:
        return self._roster.get(node)

    def all(self) -> Sequence[MeshLink]:
        return self._roster.current()

    def serve(self, kind: StreamKind, handler: StreamHandler) -> None:
        self._serving.serve(kind, handler)
        self._reception.admits = self._reception.admits or kind == StreamKind.ADMISSION

    def watch(self, watcher: LinkWatcher) -> None:
        self._roster.watch(watcher)

    def pin(self, node: NodeId, pinned: bool = True) -> None:
        self._pinned[node] += 1 if pinned else -1
        if self._pinned[node] <= 0:
            del self._pinned[node]

    async def connect(
        self, node: NodeId | None, addresses: Sequence[str], *, timeout: float = 5.0
    ) -> MeshLink:
        """The live link to the node, or a new one. Raises DialError."""
        if node == self.node_id:
            raise DialError("that is this node itself")
        link = self._known(node, addresses)
        if link is None:
            chosen = choose_addresses(self.place(), addresses)
            link = await self._dialler.connect(node, chosen, timeout=timeout)
        return link

    async def apply(
        self, node: NodeId | None, addresses: Sequence[str], *, timeout: float = 5.0
    ) -> MeshLink:
        """A short link to a member, to be admitted to the mesh or to have a grant renewed.

        It carries ADMISSION streams only and nobody else sees it. Raises DialError, also when the
        node is no member, so that it never gets to see a ticket.
        """
        return await self._applicant.connect(node, addresses, timeout=timeout)

    async def upgrade(
        self, node: NodeId, addresses: Sequence[str], *, timeout: float = 5.0
    ) -> MeshLink:
        """Replace a relayed link by a direct one; its streams end in peace. Raises DialError."""
        chosen = choose_addresses(self.place(), addresses)
        direct = [address for address in chosen if not address.startswith("relay:")]
        return await self._dialler.connect(node, direct, timeout=timeout)

    async def accept_websocket(self, request: web.Request) -> web.StreamResponse:
        """Serve `GET /mesh` of an HTTP server; returns when the link has ended."""
        if self._tasks.closing:
            raise web.HTTPServiceUnavailable(text="the node is stopping")
        return await accept_websocket(request, self._tasks, self._entrance.accept)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def _owner(self) -> LinkOwner:
        return LinkOwner(
            opened=self._held.add,
            stream_opened=self._serving.stream_opened,
            gone_away=self._gone_away,
            noticed=self._noticed,
            closed=self._link_closed,
            released=self._released,
        )

    async def _bind(self, host: str, port: int) -> asyncio.Server:
        try:
            return await listen_tcp(host, port, self._entrance.accept, listening=self._inherited)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ConfigError(
                "mesh", f"{host}:{port}", f"{reason}; give a free port of this machine"
            ) from None

    async def _connect_relay(
        self, relay: NodeId, addresses: tuple[str, ...], seconds: float
    ) -> MeshLink:
        known = [each for each in self.address_book(relay) if not each.startswith("relay:")]
        return await self.connect(relay, (*addresses, *known), timeout=seconds)

    async def _open_pipe(self, address: Address) -> Pipe:
        if address.scheme == "relay":
            return await self.relaying.path.open(address)
        return await self._outbound.dial(address)

    def _known(self, node: NodeId | None, addresses: Sequence[str]) -> MeshLink | None:
        if node is not None:
            return self._roster.get(node)
        for link in self._roster.current():
            if link.dialled_address is not None and link.dialled_address in addresses:
                return link
        return None

    def _link_changed(self, link: MeshLink, up: bool) -> None:
        self.relaying.link_changed(link, up)
        if up:
            self._dialler.arrived(link)

    def _link_closed(self, link: MeshLink) -> None:
        if link.ended is not None:
            self.metrics.links_closed[link.ended.cause] += 1
            log.debug("link ended node=%s cause=%s", link.peer, link.ended.text)
        self._roster.remove(link)
        self._reception.applicants.remove(link)

    def _released(self, link: MeshLink) -> None:
        self._held.discard(link)
        if not self._held:
            self._all_released.set()

    def _gone_away(self, link: MeshLink, code: int, reason: str) -> None:
        if not link.applying:
            self._roster.gone_away(link, code)
        self._reception.note_rebuff(link.remote, code, reason)
        if code in (GoawayCode.CLONED, GoawayCode.RESTARTED):
            text = "a peer says that a newer boot of this node has taken over"
            self._reception.note_conflict(self.node_id, text, link.peer)

    def _noticed(self, link: MeshLink, code: int, text: str) -> None:
        if code == NoticeCode.CLONED:
            text = "a peer says that another running node has this node's key"
            self._reception.note_conflict(self.node_id, text, link.peer)
        known = code in _NOTICES and code not in link.noticed
        if known:
            link.noticed.add(code)
        level = logging.WARNING if known else logging.DEBUG
        log.log(level, "notice node=%s code=%d text=%r", link.peer, code, text)

    async def _watch_over(self) -> None:
        last, ticks = self._clock.now(), 0
        while True:
            await asyncio.sleep(TICK)
            now = self._clock.now()
            self._health.woke(now - last - TICK, now - last, now)
            self._check_silence(now - last, self._health.patience(now))
            last, ticks = now, ticks + 1
            if ticks % TRIM_EVERY == 0:
                self._inspection.look()
                self._trim(now)

    def _check_silence(self, elapsed: float, patience: float) -> None:
        for link in self._roster:
            verdict = link.vigil.tick(elapsed, patience)
            if verdict == "ping":
                link.ping()
            elif verdict == "dead":
                link.give_up()

    def _trim(self, now: float) -> None:
        desk = self.relaying.desk
        needed = {*self._pinned, *(desk.reserved if desk is not None else ())}
        for link in surplus(self._roster.current(), needed, now, most=self._max_idle):
            self._roster.retire(link, GoawayCode.IDLE, "it was not used")

    async def _wait_for_pipes(self) -> None:
        if not self._held:
            return
        self._all_released.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_PATIENCE):
                await self._all_released.wait()
        for link in list(self._held):
            link.cut()
