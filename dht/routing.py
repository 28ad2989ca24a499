"""The routing table: the package's buckets, with its defects mended and no I/O.

Differences from kademlia 2.2.3: `find_neighbors` sorts everything it holds (the package stops early
and misses near nodes); `add_contact` returns the peer that should be asked whether it is alive
instead of asking; a full bucket never loses a live contact to a new one; bucket borders are right
at both ends; the time of a refresh is an argument.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from random import Random

from kademlia.routing import KBucket
from kademlia.routing import RoutingTable as PackageTable

from dht.contact import Contact, contact_at
from mesh.ids import NodeId

K = 20
"""Contacts a bucket holds, and nodes a look-up converges to (Maymounkov and Mazieres 2002)."""
MAX_BUCKETS = 160
REFRESH_AFTER = 900.0
"""Seconds without a look-up in a bucket's range before it is refreshed."""


class RoutingTable(PackageTable):  # type: ignore[misc]  # the package ships no types
    """Nodes that hold the table, near ones in more detail than far ones."""

    buckets: list[KBucket]

    def __init__(self, own: NodeId, *, k: int = K) -> None:
        super().__init__(None, k, Contact(own))
        self._own = own
        self._touched: dict[int, float] = {}

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
        answer and the new one takes its place, `add_contact` it again when it does.
        """
        if node.node == self._own:
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

    def _may_split(self, bucket: KBucket) -> bool:
        """Section 4.2 of the paper: split what holds this node, or is not deep enough."""
        if len(self.buckets) >= MAX_BUCKETS:
            return False
        return bool(bucket.has_in_range(self.node) or bucket.depth() % 5 != 0)
