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
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from dht.allowance import Allowance
from dht.exchange import Exchange
from dht.first_look import FirstLook
from dht.link_end import broke
from dht.link_feeds import LinkFeeds
from dht.membership import Confront, Deny, Effect, Membership, Show, Spread
from dht.own_record import NO_RESOURCES, OwnRecord
from dht.peer_table import MAX_NODES, Entry, PeerTable, Verdict
from dht.vet import Vet, believe_all
from dht.view import DirectoryView
from mesh.capability import (
    Load,
    NodeRecord,
    NodeState,
    Peer,
    Resources,
    Role,
    Runnable,
    ServedModel,
)
from mesh.clock import Clock
from mesh.errors import LinkError, WireError
from mesh.identity.keys import NodeKey
from mesh.ids import MeshId, NodeId
from mesh.lifecycle import Tasks
from mesh.ports import Link, Links, StreamKind
from mesh.wire.discovery import Loss
from mesh.wire.records import MAX_NODE_TTL, SignedNode

log = logging.getLogger(__name__)

TTL_LEAST = 900.0
TTL_PER_NODE = 1.5
"""Seconds this node's record is believed: at least, and more in a large mesh, where every renewal
costs everybody; renewed after a third."""
COMPARE_EVERY = 30.0
"""Seconds between comparisons with a random linked peer."""
TICK = 2.0
"""Seconds between looks at what expired and at round-trip times."""
MAX_PULLS = 2
"""Peers that are compared with at one time."""
DENIAL_RATE = 1.0
DENIAL_BURST = 4.0
"""Denials of being lost a second, and at once: a few accusers must not outpace them."""
FAREWELL = 0.5
"""Seconds that telling peers goodbye may take."""

OnChange = Callable[[NodeId, Peer | None], None]
Elsewhere = Callable[[NodeId, Entry | None], Peer | None]
"""What to show of a node, given what the directory holds: another source may know better."""


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
        patience: Callable[[], float] = lambda: 1.0,
        vet: Vet = believe_all,
    ) -> None:
        """`patience` stretches every wait before hearsay of a loss is believed (`mesh.health`).

        `vet` refuses records of nodes that take no part in the mesh.
        """
        self._links = links
        self._clock = clock
        self._tasks = tasks
        self._rng = rng or Random()
        self._watchers = [] if on_change is None else [on_change]
        self._elsewhere: Elsewhere | None = None
        self._patience = patience
        self._own = OwnRecord(key=key, mesh_id=mesh_id, boot=boot, clock=clock)
        self._table = PeerTable(key.node_id, most=most)
        self._exchange = Exchange(
            mesh_id=mesh_id, clock=clock, table=self._table, hearer=self, own=key.node_id, vet=vet
        )
        self._membership = Membership(key.node_id, self._table)
        self._suspected = asyncio.Event()
        self._feeds = LinkFeeds(remaining=self._remaining, tasks=tasks, rng=self._rng)
        self._denials = Allowance(rate=DENIAL_RATE, burst=DENIAL_BURST)
        self._denying = False
        self._pulls = asyncio.Semaphore(MAX_PULLS)
        self._leaving = False
        self.view = DirectoryView(clock)
        self.first_look = FirstLook()

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
        self._tasks.supervise(self._believe, "suspicions")

    async def close(self) -> None:
        """Tell linked peers that this node leaves, within FAREWELL seconds."""
        if self._own.record is None or self._leaving:
            return
        self._publish(replace(self._own.record, state="gone", models=()))
        self._leaving = True
        try:
            async with asyncio.timeout(FAREWELL):
                await self._feeds.flushed()
        except TimeoutError:
            log.debug("not every peer heard that this node leaves")

    @property
    def own(self) -> NodeRecord | None:
        """This node's record as last published."""
        return self._own.record

    @property
    def own_signed(self) -> SignedNode | None:
        """The same with its signature, for whoever must be shown it."""
        return self._own.signed

    @property
    def load(self) -> Load:
        """How busy this node said it is."""
        return self._feeds.load

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
        reason: str = "",
        resources: Resources = NO_RESOURCES,
        runnable: Sequence[Runnable] = (),
        grants: Sequence[bytes] = (),
    ) -> NodeRecord:
        """Say what this node is now; pushed to peers when it differs. Returns all of it, unsigned.

        Peers get what fits into 8 KiB: descriptions are left out first, then the last models, which
        look-ups find if what is returned is offered to the table.
        """
        wanted = self._own.draft(
            addresses=addresses,
            roles=roles,
            state=state,
            models=models,
            version=version,
            reason=reason,
            resources=resources,
            runnable=runnable,
            grants=grants,
        )
        if self._own.signed is None or (wanted != self._own.wanted and not self._leaving):
            self._own.wanted = wanted
            self._publish(wanted)
        return wanted

    def set_load(self, load: Load) -> None:
        """Say how busy this node is; linked peers hear of it within 0.2 s."""
        self._feeds.set_load(load)

    def watch(self, watcher: OnChange) -> None:
        """Be told of every node that is to be seen differently from now on."""
        self._watchers.append(watcher)

    def complement(self, elsewhere: Elsewhere) -> None:
        """Let another source decide with the directory what the view shows."""
        self._elsewhere = elsewhere

    def show(self, node: NodeId) -> None:
        """The other source has something new about a node."""
        self._show(node)

    def entry(self, node: NodeId) -> Entry | None:
        """What the directory itself holds of a node, lost and gone ones too."""
        return self._table.get(node)

    def peers(self) -> list[Peer]:
        """Whom the directory itself sees: at most as many as it has room for."""
        found = (self._table.peer(entry.signed.record.node_id) for entry in self._table)
        return [peer for peer in found if peer is not None]

    def lost(self) -> list[NodeRecord]:
        """The records of nodes believed lost, for as long as they are held."""
        return [entry.signed.record for entry in self._table if entry.lost]

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
        if node == link.peer and broke(link):
            self._perform(self._membership.saw_broken(node))  # its last words
        elif (feed := self._feeds.get(node)) is not None:
            self._table.link(node, True)
            self._table.set_rtt(node, feed.link.rtt)
        self._membership.heard(node)
        self._show(node)
        self._feeds.pass_on(node, link.peer, renewal=verdict == "refreshed")

    def reported_lost(self, loss: Loss, source: NodeId) -> None:
        """A peer, or somebody it heard of, lost its link to a node."""
        now, patience = self._clock.now(), self._patience()
        self._perform(self._membership.accused(loss, source, now, patience))

    def vouched_for(self, node: NodeId, seq: int, source: NodeId) -> None:
        """A peer has a link to a node."""
        self._perform(self._membership.vouched(node, seq, source))

    def loaded(self, node: NodeId, load: Load) -> None:
        """A linked peer told its load."""
        if self._table.set_load(node, load):
            self._show(node)

    def outdone(self, seq: int) -> None:
        """A newer record of this node is about: a copy of it runs elsewhere."""
        self._own.outdone(seq)

    # ── links ───────────────────────────────────────────────────────────────────────────────────

    def _on_link(self, link: Link, up: bool) -> None:
        if self._tasks.closing:
            return
        if up:
            self._link_up(link)
        elif self._links.get(link.peer) is None:
            self._link_down(link)

    def _link_up(self, link: Link) -> None:
        feed = self._feeds.add(link)
        self._perform(self._membership.link_up(link.peer))
        if self._table.set_rtt(link.peer, link.rtt):
            self._show(link.peer)
        if self._own.signed is not None:
            feed.push_record(self._own.node_id)
        self._tasks.spawn(self._pull(link), "pull")

    def _link_down(self, link: Link) -> None:
        self._feeds.remove(link.peer)
        self._perform(self._membership.link_down(link.peer, broke=broke(link)))

    def _perform(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Show(node):
                    self._show(node)
                case Spread(loss, source):
                    self._suspected.set()
                    self._feeds.spread(loss, source)
                case Confront(loss, peer):
                    if (feed := self._feeds.get(peer)) is not None:
                        feed.push_lost(loss)
                case Deny(seq, source):
                    self._deny(seq, source)

    async def _pull(self, link: Link) -> None:
        try:
            with self.first_look.comparing():
                async with self._pulls:  # what one peer gave need not be fetched from the next
                    await self._exchange.pull(link)
        except (LinkError, TimeoutError, WireError) as error:
            log.debug("comparing with %s failed: %s", link.peer[:8], error)

    # ── this node's own record ──────────────────────────────────────────────────────────────────

    def _publish(self, record: NodeRecord, *, renewal: bool = False) -> None:
        self._table.set_own(self._own.sign(record, self._ttl()))
        own = self._own.node_id
        self._feeds.pass_on(own, own, renewal=renewal)
        self._tell(own, None)

    def _republish(self, *, renewal: bool = False) -> None:
        if self._own.wanted is not None and not self._leaving:
            self._publish(self._own.wanted, renewal=renewal)

    def _deny(self, seq: int, source: NodeId) -> None:
        """A peer believes this node lost: a newer record says that it is not."""
        record = self._own.record
        if record is not None and seq < record.seq:
            if (feed := self._feeds.get(source)) is not None:
                feed.push_record(record.node_id)
        elif not self._denying and not self._tasks.closing:
            self._denying = True
            self._tasks.spawn(self._deny_soon(), "deny")

    async def _deny_soon(self) -> None:
        await asyncio.sleep(self._denials.reserve(self._own.node_id, 1, self._clock.now()))
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

    async def _believe(self) -> None:
        """Believe losses that nobody denied in time."""
        while True:
            due = self._membership.next_due()
            if due is None:
                self._suspected.clear()
                await self._suspected.wait()
            else:
                await asyncio.sleep(max(0.01, due - self._clock.now()))
                self._perform(self._membership.due(self._clock.now()))

    def _remaining(self, node: NodeId) -> tuple[float, bytes] | None:
        return self._table.remaining(node, self._clock.now())

    def _show(self, node: NodeId) -> None:
        """Bring the view up to date about one node."""
        if self._elsewhere is None:
            peer = self._table.peer(node)
        else:
            peer = self._elsewhere(node, self._table.get(node))
        if peer != self.view.peer(node):
            self.view.update(node, peer)
            self._tell(node, peer)

    def _tell(self, node: NodeId, peer: Peer | None) -> None:
        for watcher in self._watchers:
            watcher(node, peer)
