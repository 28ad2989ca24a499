"""The directory as a service: keeps this node's record with its peers, and theirs here.

Records travel in two ways. What changed is pushed to linked peers at once, and by them to theirs;
what merely renews goes to a few. Comparing with a random peer now and then, and with every new one,
finds what pushing missed. A link that breaks without a goodbye makes its node lost: its models
leave the view here and, by hearsay, wherever nobody holds a link to it. A lost node that lives
hears of it and renews its record, which clears it everywhere.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from dht.exchange import Exchange
from dht.feed import LinkFeed
from dht.peer_table import MAX_NODES, PeerTable, Verdict
from dht.view import DirectoryView
from mesh.capability import Load, NodeRecord, NodeState, Peer, Role, ServedModel
from mesh.clock import Clock
from mesh.errors import LinkClosed, LinkError, WireError
from mesh.identity.keys import NodeKey
from mesh.ids import MeshId, NodeId
from mesh.lifecycle import Tasks
from mesh.ports import Link, Links, StreamKind
from mesh.wire.records import MAX_NODE_TTL, SignedNode, fit_node

log = logging.getLogger(__name__)

TTL_LEAST = 900.0
TTL_PER_NODE = 1.5
"""Seconds this node's record is believed: at least, and more in a large mesh, where every renewal
costs everybody; renewed after a third."""
COMPARE_EVERY = 30.0
"""Seconds between comparisons with a random linked peer."""
TICK = 2.0
"""Seconds between looks at what expired and at round-trip times."""
CHANGE_FANOUT = 16
RENEWAL_FANOUT = 4
"""Linked peers that are told a record which changed, and one which only renews."""
MAX_PULLS = 2
"""Peers that are compared with at one time."""
DENY_EVERY = 1.0
"""Seconds between denials of being lost."""
FAREWELL = 0.5
"""Seconds that telling peers goodbye may take."""

OnChange = Callable[[NodeId, Peer | None], None]


class Directory:
    """Who is there. `set_own` and `set_load` say what this node is; `view` is what it knows.

    Call `start` before links come up and `close` while they still are; the owner closes `tasks`.
    """

    def __init__(
        self,
        *,
        key: NodeKey,
        mesh_id: MeshId,
        boot: int,
        links: Links,
        clock: Clock,
        tasks: Tasks,
        rng: Random | None = None,
        most: int = MAX_NODES,
        on_change: OnChange | None = None,
    ) -> None:
        self._key = key
        self._mesh_id = mesh_id
        self._links = links
        self._clock = clock
        self._tasks = tasks
        self._rng = rng or Random()
        self._on_change = on_change
        self._seq = boot << 32
        self._table = PeerTable(key.node_id, most=most)
        self._exchange = Exchange(
            mesh_id=mesh_id, clock=clock, table=self._table, hearer=self, own=key.node_id
        )
        self._feeds: dict[NodeId, LinkFeed] = {}
        self._load = Load()
        self._own: SignedNode | None = None
        self._wanted: NodeRecord | None = None
        self._denied_at = -math.inf
        self._denying = False
        self._outdone = 0
        self._pulls = asyncio.Semaphore(MAX_PULLS)
        self._leaving = False
        self.view = DirectoryView(clock)

    def start(self) -> None:
        """Serve peers and keep in step with them. Call once, after the first `set_own`."""
        self._links.serve(StreamKind.DIRECTORY, self._exchange.serve)
        self._links.serve(StreamKind.STATUS, self._exchange.serve)
        self._links.watch(self._on_link)
        for link in self._links.all():
            self._on_link(link, True)
        self._tasks.supervise(self._renew, "renew")
        self._tasks.supervise(self._compare, "compare")
        self._tasks.supervise(self._tick, "tick")

    async def close(self) -> None:
        """Tell linked peers that this node leaves, within FAREWELL seconds."""
        if self._own is None or self._leaving:
            return
        self._publish(replace(self._own.record, state="gone", models=()))
        self._leaving = True
        try:
            async with asyncio.timeout(FAREWELL):
                for feed in list(self._feeds.values()):  # links may end meanwhile
                    await feed.flushed()
        except TimeoutError:
            log.debug("not every peer heard that this node leaves")

    @property
    def own(self) -> NodeRecord | None:
        """This node's record as last published."""
        return None if self._own is None else self._own.record

    @property
    def own_signed(self) -> SignedNode | None:
        """The same with its signature, for whoever must be shown it."""
        return self._own

    @property
    def refused(self) -> int:
        """Records from peers that were not believed."""
        return self._exchange.refused

    def set_own(
        self,
        *,
        addresses: Sequence[str],
        roles: Sequence[Role],
        state: NodeState,
        models: Sequence[ServedModel],
        version: str,
    ) -> NodeRecord:
        """Say what this node is now; pushed to peers when it differs. Returns all of it, unsigned.

        Peers get what fits into 8 KiB: descriptions are left out first, then the last models, which
        look-ups find if what is returned is offered to the table.
        """
        wanted = NodeRecord(
            node_id=self._key.node_id,
            seq=0,
            issued_at=0.0,
            ttl=0.0,
            addresses=tuple(addresses),
            roles=tuple(roles),
            state=state,
            models=tuple(models),
            version=version,
        )
        if self._own is None or (wanted != self._wanted and not self._leaving):
            self._wanted = wanted
            self._publish(wanted)
        return wanted

    def set_load(self, load: Load) -> None:
        """Say how busy this node is; linked peers hear of it within 0.2 s."""
        self._load = load
        for feed in self._feeds.values():
            feed.push_load(load)

    def record(self, node: NodeId) -> NodeRecord | None:
        """The newest record of a node; None when it is unknown, lost or gone."""
        peer = self.view.peer(node)
        return None if peer is None else peer.record

    def unreachable(self, node: NodeId) -> None:
        """No address of the node answered: leave it out of the view until it is heard of again."""
        entry = self._table.get(node)
        if entry is not None and self._links.get(node) is None:
            self._table.lose(node, entry.signed.record.seq)
            self._show(node)

    # ── what peers said: called by the exchange ─────────────────────────────────────────────────

    def learned(self, node: NodeId, verdict: Verdict, link: Link) -> None:
        """A checked record of another node came over a link, which may have ended since."""
        for gone in self._table.evicted():
            self._show(gone)
        if verdict in ("known", "refused"):
            return
        if node == link.peer and _broke(link):
            self._lose(node, link.peer)  # its last words
        elif node in self._feeds:
            self._table.link(node, True)
            self._table.set_rtt(node, self._feeds[node].link.rtt)
        self._show(node)
        fanout = RENEWAL_FANOUT if verdict == "refreshed" else CHANGE_FANOUT
        self._pass_on(node, link.peer, fanout=fanout)

    def reported_lost(self, node: NodeId, seq: int, source: NodeId) -> None:
        """A peer's link to a node broke."""
        if node == self._key.node_id:
            self._deny(seq, source)
        elif (feed := self._feeds.get(node)) is not None and not feed.link.closed:
            feed.push_lost(node, seq)  # it lives: let it hear of this, so that it denies it
        elif self._table.lose(node, seq):
            self._show(node)
            self._spread_loss(node, seq, source)
        else:
            self._table.forewarn(node, seq, self._clock.now())

    def vouched_for(self, node: NodeId) -> None:
        """A node that was lost here is linked to a peer."""
        self._show(node)

    def loaded(self, node: NodeId, load: Load) -> None:
        """A linked peer told its load."""
        if self._table.set_load(node, load):
            self._show(node)

    def outdone(self, seq: int) -> None:
        """A newer record of this node is about: a copy of it runs elsewhere.

        Outbidding it would set two copies at each other through everybody's directories; links
        decide which of two boots may stay.
        """
        if seq > self._outdone:
            self._outdone = seq
            log.warning("another running node signs with this node's key: copy no data folders")

    # ── links ───────────────────────────────────────────────────────────────────────────────────

    def _on_link(self, link: Link, up: bool) -> None:
        if self._tasks.closing:
            return
        if up:
            self._link_up(link)
        elif self._links.get(link.peer) is None:
            self._link_down(link)

    def _link_up(self, link: Link) -> None:
        feed = LinkFeed(link, self._remaining, self._load)
        self._feeds[link.peer] = feed
        entry = self._table.get(link.peer)
        if entry is not None and entry.lost:
            feed.push_lost(link.peer, entry.signed.record.seq)
        self._table.link(link.peer, True)
        self._table.set_rtt(link.peer, link.rtt)
        self._show(link.peer)
        if self._own is not None:
            feed.push_record(self._key.node_id)
        self._tasks.spawn(feed.run_news(), "news")
        self._tasks.spawn(feed.run_load(), "load")
        self._tasks.spawn(self._pull(link), "pull")

    def _link_down(self, link: Link) -> None:
        feed = self._feeds.pop(link.peer, None)
        if feed is not None:
            feed.stop()
        self._table.link(link.peer, False)
        if _broke(link):
            self._lose(link.peer, link.peer)
        self._show(link.peer)

    def _lose(self, node: NodeId, source: NodeId) -> None:
        """This node has seen for itself that another broke off."""
        entry = self._table.get(node)
        if entry is not None and self._table.lose(node, entry.signed.record.seq):
            self._spread_loss(node, entry.signed.record.seq, source)

    def _spread_loss(self, node: NodeId, seq: int, source: NodeId) -> None:
        for peer, feed in self._feeds.items():
            if peer not in (node, source):
                feed.push_lost(node, seq)

    def _pass_on(self, node: NodeId, source: NodeId, *, fanout: int) -> None:
        for peer in self._some_peers(fanout, node, source):
            self._feeds[peer].push_record(node)

    def _some_peers(self, most: int, *but: NodeId) -> list[NodeId]:
        peers = [peer for peer in self._feeds if peer not in but]
        return peers if len(peers) <= most else self._rng.sample(peers, most)

    async def _pull(self, link: Link) -> None:
        try:
            async with self._pulls:  # what one peer gave need not be fetched from the next
                await self._exchange.pull(link)
        except (LinkError, TimeoutError, WireError) as error:
            log.debug("comparing with %s failed: %s", link.peer[:8], error)

    # ── this node's own record ──────────────────────────────────────────────────────────────────

    def _publish(self, record: NodeRecord, *, renewal: bool = False) -> SignedNode:
        self._seq += 1
        stamped = replace(record, seq=self._seq, issued_at=self._clock.wall(), ttl=self._ttl())
        self._own = fit_node(self._key, self._mesh_id, stamped)
        left_out = len(record.models) - len(self._own.record.models)
        if left_out:
            log.warning("%d models do not fit into the record; look-ups find them", left_out)
        self._table.set_own(self._own)
        own = self._key.node_id
        self._pass_on(own, own, fanout=RENEWAL_FANOUT if renewal else CHANGE_FANOUT)
        return self._own

    def _republish(self, *, renewal: bool = False) -> None:
        if self._wanted is not None and not self._leaving:
            self._publish(self._wanted, renewal=renewal)

    def _deny(self, seq: int, source: NodeId) -> None:
        """A peer believes this node lost: a newer record says that it is not."""
        if self._own is not None and seq < self._own.record.seq:
            if (feed := self._feeds.get(source)) is not None:
                feed.push_record(self._key.node_id)
        elif not self._denying and not self._tasks.closing:
            self._denying = True
            self._tasks.spawn(self._deny_soon(), "deny")

    async def _deny_soon(self) -> None:
        await asyncio.sleep(max(0.0, self._denied_at + DENY_EVERY - self._clock.now()))
        self._denied_at = self._clock.now()
        self._denying = False
        self._republish()

    def _ttl(self) -> float:
        return min(MAX_NODE_TTL, max(TTL_LEAST, TTL_PER_NODE * len(self._table)))

    # ── loops ───────────────────────────────────────────────────────────────────────────────────

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._ttl() / 3 * self._rng.uniform(0.8, 1.2))
            self._republish(renewal=True)

    async def _compare(self) -> None:
        while True:
            await asyncio.sleep(COMPARE_EVERY * self._rng.uniform(0.8, 1.2))
            links = self._links.all()
            if links:
                await self._pull(self._rng.choice(links))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            for node in self._table.expire(self._clock.now()):
                self._show(node)
            for link in self._links.all():
                if self._table.set_rtt(link.peer, link.rtt):
                    self._show(link.peer)

    def _remaining(self, node: NodeId) -> tuple[float, bytes] | None:
        return self._table.remaining(node, self._clock.now())

    def _show(self, node: NodeId) -> None:
        """Bring the view up to date about one node."""
        peer = self._table.peer(node)
        before = self.view.peer(node)
        if peer == before:
            return
        self.view.update(node, peer)
        if self._on_change is not None:
            self._on_change(node, peer)


def _broke(link: Link) -> bool:
    """Whether a link ended without a goodbye; a dead link tells why when it is used."""
    if not link.closed:
        return False  # replaced or let go; it ends when its streams have
    try:
        link.open(StreamKind.STATUS)
    except LinkClosed as error:
        return error.cause in ("crash", "silence")
    except LinkError:
        return False
    return False
