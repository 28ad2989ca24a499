"""Answers what peers ask of the part of the table that this node holds. No I/O."""

from __future__ import annotations

from dht.allowance import Allowance
from dht.contact import Contact
from dht.counters import DhtCounters
from dht.defences import OPEN, Defences
from dht.networks import Network
from dht.routing import K, RoutingTable
from dht.storage import RecordStore
from dht.vet import Vet, believe_all
from mesh.clock import Clock
from mesh.errors import RecordRejected, WireError
from mesh.ids import MeshId, NodeId
from mesh.wire import dht as wire
from mesh.wire.dht_records import DhtRecord, SignedDhtRecord, check_offering, open_dht

STORE_RATE = 20.0
STORE_BURST = 1_000.0
"""Records a second, and at once, that one peer may make this node check (170 us each)."""
REQUEST_RATE = 200.0
REQUEST_BURST = 1_000.0
"""Requests a second, and at once, that one peer is answered."""
NETWORK_REQUESTS = 8
NETWORK_STORES = 2
"""Peers' worth of requests and stores that one public network (/24, /48) gets, however many nodes
it has."""
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
        defences: Defences = OPEN,
    ) -> None:
        self.table = RoutingTable(own, bucket=defences.bucket, whole=defences.table)
        self.store = RecordStore(own)
        self.defences = defences
        self.me = wire.Self()
        self._own = own
        self._mesh_id = mesh_id
        self.vet = vet
        self._clock = clock
        self._counters = counters
        self._stores = Allowance(rate=STORE_RATE, burst=STORE_BURST)
        self._requests = Allowance(rate=REQUEST_RATE, burst=REQUEST_BURST)
        self._networks = Allowance(
            rate=REQUEST_RATE * NETWORK_REQUESTS, burst=REQUEST_BURST * NETWORK_REQUESTS
        )
        self._network_stores = Allowance(
            rate=STORE_RATE * NETWORK_STORES, burst=STORE_BURST * NETWORK_STORES
        )

    def heard(
        self, peer: NodeId, sender: wire.Self, network: Network | None = None
    ) -> Contact | None:
        """Note what a peer said of itself on its own link. Returns a contact to ask, if any.

        Only nodes that can be dialled come into the table; others are clients. `network` is where
        the link shows the peer to be.
        """
        if not (sender.serving and sender.addresses):
            if (known := self.table.get(peer)) is not None:
                self.table.remove_contact(known)
            return None
        return self.table.add_contact(Contact(peer, sender.addresses, network=network))

    def open(self, data: bytes) -> SignedDhtRecord:
        """A record that may be believed. Raises WireError or RecordRejected."""
        signed = open_dht(data, self._mesh_id, self._clock.wall())
        self.vet(signed.record.node, signed.record.grants)
        return signed

    def may_ask(self, peer: NodeId, network: Network | None = None) -> bool:
        """Whether the peer and its network are within what they may ask; counts this request."""
        now = self._clock.now()
        if not self._requests.take(peer, 1, now):
            return False
        return network is None or self._networks.take(network.narrow, 1, now)

    def answer(
        self, peer: NodeId, request: wire.DhtRequest, network: Network | None = None
    ) -> wire.DhtAnswer:
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
                return wire.Stored(self.me, self._hold(peer, items, network))

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
            self._near(request.towards or request.key, peer),
            found.items,
            found.more,
            found.total,
            found.set_hash,
        )

    def _near(self, key: bytes, peer: NodeId) -> tuple[wire.Address, ...]:
        """The nearest contacts but the asker."""
        near = (each for each in self.table.nearest(key, K + 1) if each.node != peer)
        return tuple(contact.address for contact, _ in zip(near, range(K), strict=False))

    def _hold(
        self, peer: NodeId, items: tuple[tuple[float, bytes], ...], network: Network | None
    ) -> tuple[bool, ...]:
        now = self._clock.now()
        if not self.me.serving or not self._may_store(peer, network, len(items), now):
            self._counters.refused += len(items)
            return (False,) * len(items)
        return tuple(
            self._hold_one(peer, remaining, data, network, now) for remaining, data in items
        )

    def _may_store(self, peer: NodeId, network: Network | None, count: int, now: float) -> bool:
        if not self._stores.take(peer, count, now):
            return False
        return network is None or self._network_stores.take(network.narrow, count, now)

    def _hold_one(
        self, peer: NodeId, remaining: float, data: bytes, network: Network | None, now: float
    ) -> bool:
        try:
            signed = self.open(data)
            if self.defences.origins_only:
                _check_origin(signed.record, peer)
        except (WireError, RecordRejected):
            self._counters.refused += 1
            return False
        counted = network if self.defences.origins_only else None
        wide = "" if counted is None else counted.wide
        verdict = self.store.put(signed, remaining, peer, now, network=wide)
        held = verdict in ("new", "newer", "same")
        self._counters.refused += not held
        return held


def _check_origin(record: DhtRecord, peer: NodeId) -> None:
    """Raises RecordRejected for what another node has signed, or what fits no key."""
    if record.node != peer:
        raise RecordRejected("a table record was handed over by another node than its own")
    check_offering(record, record.key)
