"""Answers what peers ask of the part of the table that this node holds. No I/O."""

from __future__ import annotations

from dht.allowance import Allowance
from dht.contact import Contact
from dht.counters import DhtCounters
from dht.routing import K, RoutingTable
from dht.storage import RecordStore
from dht.vet import Vet, believe_all
from mesh.clock import Clock
from mesh.errors import RecordRejected, WireError
from mesh.ids import MeshId, NodeId
from mesh.wire import dht as wire
from mesh.wire.dht_records import SignedDhtRecord, open_dht

STORE_RATE = 20.0
STORE_BURST = 1_000.0
"""Records a second, and at once, that one peer may make this node check (170 us each)."""
REQUEST_RATE = 200.0
REQUEST_BURST = 1_000.0
"""Requests a second, and at once, that one peer is answered."""
_PAGE_BYTES = wire.MAX_DHT_MESSAGE - 32 * 1024
"""Records in an answer; the rest is room for K contacts of four addresses each."""


class TableServer:
    """The routing table, the records held, and who this node is to both."""

    def __init__(
        self,
        *,
        own: NodeId,
        mesh_id: MeshId,
        clock: Clock,
        counters: DhtCounters,
        vet: Vet = believe_all,
    ) -> None:
        self.table = RoutingTable(own)
        self.store = RecordStore(own)
        self.me = wire.Self()
        self._own = own
        self._mesh_id = mesh_id
        self.vet = vet
        self._clock = clock
        self._counters = counters
        self._stores = Allowance(rate=STORE_RATE, burst=STORE_BURST)
        self._requests = Allowance(rate=REQUEST_RATE, burst=REQUEST_BURST)

    def heard(self, peer: NodeId, sender: wire.Self) -> Contact | None:
        """Note what a peer said of itself on its own link. Returns a contact to ask, if any.

        Only nodes that can be dialled come into the table; others are clients.
        """
        if not (sender.serving and sender.addresses):
            if (known := self.table.get(peer)) is not None:
                self.table.remove_contact(known)
            return None
        return self.table.add_contact(Contact(peer, sender.addresses))

    def open(self, data: bytes) -> SignedDhtRecord:
        """A record that may be believed. Raises WireError or RecordRejected."""
        signed = open_dht(data, self._mesh_id, self._clock.wall())
        self.vet(signed.record.node, signed.record.grants)
        return signed

    def may_ask(self, peer: NodeId) -> bool:
        """Whether the peer is within what it may ask; counts this request."""
        return self._requests.take(peer, 1, self._clock.now())

    def answer(self, peer: NodeId, request: wire.DhtRequest) -> wire.DhtAnswer:
        """The answer to one request of a peer."""
        self._counters.served += 1
        match request:
            case wire.Ping():
                return wire.Pong(self.me)
            case wire.FindNodes(_, key):
                return wire.Nodes(self.me, self._near(key, peer))
            case wire.FindRecords():
                return self._find(peer, request)
            case wire.Store(_, items):
                return wire.Stored(self.me, self._hold(peer, items))

    def page(
        self, key: bytes, after: NodeId | None, limit: int, *, around: bool = False
    ) -> wire.Found:
        """A page of the records held here, as any peer would get it."""
        now = self._clock.now()
        page = self.store.page(key, now, after=after, limit=limit, around=around)
        items = []
        room = _PAGE_BYTES
        for remaining, signed in page.items:
            room -= len(signed.data) + 16
            if room < 0:
                break
            items.append((remaining, signed.data))
        more = page.more or len(items) < len(page.items)
        return wire.Found(self.me, (), tuple(items), more, page.total, page.set_hash)

    def _find(self, peer: NodeId, request: wire.FindRecords) -> wire.Found:
        found = self.page(request.key, request.after, request.limit, around=request.around)
        return wire.Found(
            self.me,
            self._near(request.key, peer),
            found.items,
            found.more,
            found.total,
            found.set_hash,
        )

    def _near(self, key: bytes, peer: NodeId) -> tuple[wire.Address, ...]:
        """The nearest contacts but the asker."""
        near = (each for each in self.table.nearest(key, K + 1) if each.node != peer)
        return tuple(contact.address for contact, _ in zip(near, range(K), strict=False))

    def _hold(self, peer: NodeId, items: tuple[tuple[float, bytes], ...]) -> tuple[bool, ...]:
        now = self._clock.now()
        if not self.me.serving or not self._stores.take(peer, len(items), now):
            self._counters.refused += len(items)
            return (False,) * len(items)
        return tuple(self._hold_one(peer, remaining, data, now) for remaining, data in items)

    def _hold_one(self, peer: NodeId, remaining: float, data: bytes, now: float) -> bool:
        try:
            signed = self.open(data)
        except (WireError, RecordRejected):
            self._counters.refused += 1
            return False
        held = self.store.put(signed, remaining, peer, now) in ("new", "newer", "same")
        self._counters.refused += not held
        return held
