"""The routing table: the package's buckets, with its defects mended and no I/O.

Differences from kademlia 2.2.3: `find_neighbors` sorts everything it holds (the package stops early
and misses near nodes); `add_contact` returns the peer that should be asked whether it is alive
instead of asking; a full bucket never loses a live contact to a new one; bucket borders are right
at both ends; the time of a refresh is an argument; and no network gets more than a few places,
neither in a bucket nor among those that wait beside it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from random import Random

from kademlia.routing import KBucket
from kademlia.routing import RoutingTable as PackageTable

from dht.contact import Contact, contact_at
from dht.networks import Bounds, fits
from mesh.ids import NodeId

K = 20
"""Contacts a bucket holds, and nodes a look-up converges to (Maymounkov and Mazieres 2002)."""
MAX_BUCKETS = 160
REFRESH_AFTER = 900.0
"""Seconds without a look-up in a bucket's range before it is refreshed."""


class Bucket(KBucket):  # type: ignore[misc]  # the package ships no types
    """Contacts of one range; `admits` says who may have a place that has become free."""

    def __init__(self, low: int, high: int, k: int, admits: Callable[[Bucket, Contact], bool]):
        super().__init__(low, high, k)
        self._admits = admits

    def split(self) -> tuple[Bucket, Bucket]:
        """Two buckets of half the range each. Those in places keep them, others go on waiting."""
        low, high = self.range
        middle = (low + high) // 2
        one = Bucket(low, middle, self.ksize, self._admits)
        two = Bucket(middle + 1, high, self.ksize, self._admits)
        for node in self.nodes.values():
            (one if node.long_id <= middle else two).add_node(node)
        for node in self.replacement_nodes.values():
            (one if node.long_id <= middle else two).replacement_nodes[node.id] = node
        return one, two

    def remove_node(self, node: Contact) -> None:
        """Drop a contact; the one that was heard last of those waiting takes its place."""
        self.replacement_nodes.pop(node.id, None)
        if self.nodes.pop(node.id, None) is None:
            return
        for waiting in reversed(list(self.replacement_nodes.values())):
            if self._admits(self, waiting):
                del self.replacement_nodes[waiting.id]
                self.nodes[waiting.id] = waiting
                return


class RoutingTable(PackageTable):  # type: ignore[misc]  # the package ships no types
    """Nodes that hold the table, near ones in more detail than far ones."""

    buckets: list[Bucket]

    def __init__(
        self, own: NodeId, *, k: int = K, bucket: Bounds | None = None, whole: Bounds | None = None
    ) -> None:
        """`bucket` and `whole` bound the contacts of one network in each bucket and in all."""
        self._bucket_bounds = bucket
        self._bounds = whole
        super().__init__(None, k, Contact(own))
        self._own = own
        self._touched: dict[int, float] = {}

    def flush(self) -> None:
        """Begin with one bucket for everything; the package calls this."""
        self.buckets = [Bucket(0, 2**160, self.ksize, self._admits)]

    def __iter__(self) -> Iterator[Contact]:
        for bucket in self.buckets:
            yield from bucket.nodes.values()

    def __len__(self) -> int:
        return sum(len(bucket) for bucket in self.buckets)

    def __contains__(self, node: object) -> bool:
        return isinstance(node, str) and self.get(NodeId(node)) is not None

    def get(self, node: NodeId) -> Contact | None:
        """The contact with that id, if it is in a bucket (not waiting beside one)."""
        bucket = self.buckets[self.get_bucket_for(Contact(node))]
        found: Contact | None = bucket.nodes.get(bytes.fromhex(node))
        return found

    def get_bucket_for(self, node: Contact) -> int:
        """The index of the bucket whose range holds the id."""
        for index, bucket in enumerate(self.buckets):
            if node.long_id <= bucket.range[1]:
                return index
        raise ValueError("an id is outside the table's space")

    def add_contact(self, node: Contact) -> Contact | None:
        """Note that a node is alive. Returns the peer to ask when its bucket is full.

        The peer returned is the one heard of longest ago; `remove_contact` it when it does not
        answer and the new one takes its place, `add_contact` it again when it does. A newcomer
        whose network has all the places it may have is not taken.
        """
        if node.node == self._own:
            return None
        known = self.get(node.node)
        if known is not None and known.network != node.network:
            self.remove_contact(known)
            known = None
        if known is None and not self._admits(self.buckets[self.get_bucket_for(node)], node):
            self.remove_contact(node)  # nor may it wait any longer
            return None
        while True:
            index = self.get_bucket_for(node)
            bucket = self.buckets[index]
            if bucket.add_node(node):
                return None
            if not self._may_split(bucket):
                head: Contact = bucket.head()
                return head
            self.split_bucket(index)

    def find_neighbors(
        self, node: Contact, k: int | None = None, exclude: Contact | None = None
    ) -> list[Contact]:
        """The k contacts nearest to an id, nearest first; neither that id's own nor `exclude`."""
        left_out = {node.node} if exclude is None else {node.node, exclude.node}
        others = (contact for contact in self if contact.node not in left_out)
        target = node.long_id
        return heapq.nsmallest(k or self.ksize, others, key=lambda each: each.long_id ^ target)

    def nearest(self, key: bytes, k: int = K) -> list[Contact]:
        """The k contacts nearest to a key, the one with that very id included."""
        target = int.from_bytes(key, "big")
        return heapq.nsmallest(k, self, key=lambda each: each.long_id ^ target)

    def touch(self, key: bytes, now: float) -> None:
        """Note that a look-up went to this key's bucket."""
        self._touched[self._low(contact_at(key))] = now

    def stale_targets(self, now: float, rng: Random) -> list[bytes]:
        """A random key in each bucket that no look-up touched for REFRESH_AFTER seconds."""
        lows = {bucket.range[0] for bucket in self.buckets}
        self._touched = {low: at for low, at in self._touched.items() if low in lows}
        targets = []
        for bucket in self.buckets:
            low, high = bucket.range
            if now - self._touched.setdefault(low, now) >= REFRESH_AFTER:
                targets.append(min(rng.randint(low, high), 2**160 - 1).to_bytes(20, "big"))
        return targets

    def _low(self, node: Contact) -> int:
        low: int = self.buckets[self.get_bucket_for(node)].range[0]
        return low

    def _admits(self, bucket: Bucket, node: Contact) -> bool:
        """Whether a newcomer's network may have one more place, in the bucket and in the table."""
        if node.network is None:
            return True
        beside = (each.network for each in bucket.nodes.values())
        if self._bucket_bounds is not None and not fits(node.network, beside, self._bucket_bounds):
            return False
        if self._bounds is None:
            return True
        everywhere = (each.network for each in self)
        return fits(node.network, everywhere, self._bounds)

    def _may_split(self, bucket: Bucket) -> bool:
        """Section 4.2 of the paper: split what holds this node, or is not deep enough."""
        if len(self.buckets) >= MAX_BUCKETS:
            return False
        return bool(bucket.has_in_range(self.node) or bucket.depth() % 5 != 0)
