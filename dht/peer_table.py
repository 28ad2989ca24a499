"""The directory's content: the newest signed record of each known node. Pure and bounded.

A record is believed for the seconds it arrived with, never longer than its signed ttl counted from
when it was first seen. When full, the least useful entry makes room: nodes that left or were lost,
then those that offer nothing, then those farthest by id, so that different nodes forget different
ones. Linked nodes stay. What died or was turned away is remembered by its seq, so that it neither
comes back nor is fetched again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from dht.comparison import Comparison
from mesh.capability import Load, NodeRecord, Peer
from mesh.ids import NodeId
from mesh.wire.discovery import Digest, Listing
from mesh.wire.records import SignedNode

MAX_NODES = 2_000
MAX_FLOORS = 4_096
"""Seqs remembered of records that are not held."""
FOREWARNED_FOR = 5.0
MAX_FOREWARNED = 512
"""Seconds that a loss of an unknown node is remembered, for its record may be on the way."""
RTT_CHANGE = 0.1
"""Part by which a round-trip time must have changed to be worth telling."""

Verdict = Literal["new", "changed", "refreshed", "known", "refused"]
"""What became of a record. "refreshed": newer, but it says the same."""


@dataclass(slots=True)
class Entry:
    """One node. `lost`: its link broke at a peer, or here, and it has not been heard of since."""

    signed: SignedNode
    first_seen: float
    expires: float
    lost: bool = False
    linked: bool = False
    load: Load = field(default_factory=Load)
    rtt: float | None = None

    @property
    def visible(self) -> bool:
        return not self.lost and self.signed.record.state != "gone"


class PeerTable:
    """Every known node but this one, and this node's own record for passing on."""

    def __init__(self, own: NodeId, *, most: int = MAX_NODES) -> None:
        self._own_id = own
        self._own: SignedNode | None = None
        self._most = most
        self._entries: dict[NodeId, Entry] = {}
        self._floors: OrderedDict[NodeId, int] = OrderedDict()
        self._comparison = Comparison()
        self._forewarned: OrderedDict[NodeId, tuple[int, float]] = OrderedDict()
        self._evicted: list[NodeId] = []

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def get(self, node: NodeId) -> Entry | None:
        """What is known of a node; lost and gone ones too."""
        return self._entries.get(node)

    def peer(self, node: NodeId) -> Peer | None:
        """A node as it should be seen now; None when it is unknown, lost or gone."""
        entry = self._entries.get(node)
        if entry is None or not entry.visible:
            return None
        return Peer(entry.signed.record, entry.load, entry.rtt, entry.linked)

    def set_own(self, signed: SignedNode) -> None:
        """Take this node's newest record, so that others get it by comparing."""
        self._own = signed
        self._comparison.put(self._own_id, signed.record.seq)

    def is_news(self, node: NodeId, seq: int) -> bool:
        """Whether a record is worth checking its signature."""
        if node == self._own_id:
            return self._own is None or seq > self._own.record.seq
        entry = self._entries.get(node)
        if entry is not None:
            return seq > entry.signed.record.seq
        return seq > self._floors.get(node, -1)

    def offer(
        self, signed: SignedNode, remaining: float, now: float, *, linked: bool = False
    ) -> Verdict:
        """Merge a checked record of another node. `linked`: a live link to that node is up."""
        record = signed.record
        if record.node_id == self._own_id or not self.is_news(record.node_id, record.seq):
            return "known"
        entry = self._entries.get(record.node_id)
        expires = now + min(remaining, record.ttl)
        if entry is None:
            seq, until = self._forewarned.pop(record.node_id, (-1, now))
            lost = not linked and until > now and record.seq <= seq
            return self._insert(Entry(signed, now, expires, lost=lost, linked=linked))
        same = says_the_same(entry.signed.record, record) and not entry.lost
        self._comparison.put(record.node_id, record.seq)
        entry.signed, entry.first_seen, entry.expires, entry.lost = signed, now, expires, False
        return "refreshed" if same else "changed"

    def turn_away(self, record: NodeRecord) -> None:
        """A node's own record shows that it takes no part here: do not fetch that one again."""
        if record.node_id not in self._entries:
            self._remember(record.node_id, record.seq)

    def renew(self, node: NodeId, seq: int, remaining: float, now: float) -> None:
        """A peer believes the record held here for longer: so may this node, within its ttl."""
        entry = self._entries.get(node)
        if entry is not None and entry.signed.record.seq == seq:
            latest = entry.first_seen + entry.signed.record.ttl
            entry.expires = min(latest, max(entry.expires, now + remaining))

    def lose(self, node: NodeId, seq: int) -> bool:
        """A link to the node broke when its record had this seq. True when that is news."""
        entry = self._entries.get(node)
        if entry is None or not entry.visible or seq < entry.signed.record.seq:
            return False
        entry.linked, entry.rtt, entry.load = False, None, Load()
        self._set_lost(entry, True)
        return True

    def forewarn(self, node: NodeId, seq: int, now: float) -> None:
        """An unknown node was lost: its record, should it still come, is of a lost node."""
        if node == self._own_id or node in self._entries:
            return
        self._forewarned[node] = (seq, now + FOREWARNED_FOR)
        self._forewarned.move_to_end(node)
        while len(self._forewarned) > MAX_FOREWARNED:
            self._forewarned.popitem(last=False)

    def link(self, node: NodeId, linked: bool) -> bool:
        """Note a link that came up or ended cleanly. True when the node had been lost."""
        entry = self._entries.get(node)
        if entry is None:
            return False
        was_lost = entry.lost
        entry.linked = linked
        if linked:
            self._set_lost(entry, False)
        else:
            entry.rtt, entry.load = None, Load()
        return linked and was_lost

    def vouch(self, node: NodeId, seq: int) -> bool:
        """A peer holds a live link to a node that was lost here. True when that brings it back."""
        entry = self._entries.get(node)
        if entry is None or not entry.lost or seq < entry.signed.record.seq:
            return False
        self._set_lost(entry, False)
        return True

    def set_load(self, node: NodeId, load: Load) -> bool:
        """Note a linked node's load. True when it differs."""
        entry = self._entries.get(node)
        if entry is None or not entry.linked or entry.load == load:
            return False
        entry.load = load
        return True

    def set_rtt(self, node: NodeId, rtt: float | None) -> bool:
        """Note a linked node's round-trip time. True when it differs enough to matter."""
        entry = self._entries.get(node)
        if entry is None or not entry.linked or rtt is None:
            return False
        if entry.rtt is not None and abs(rtt - entry.rtt) <= RTT_CHANGE * entry.rtt:
            return False
        entry.rtt = rtt
        return True

    def expire(self, now: float) -> list[NodeId]:
        """Forget nodes past their time, unless they are linked. Returns who was forgotten."""
        dead = [
            node
            for node, entry in self._entries.items()
            if entry.expires <= now and not entry.linked
        ]
        for node in dead:
            self._forget(node)
        return dead

    def evicted(self) -> list[NodeId]:
        """Nodes forgotten for want of room since last asked."""
        gone, self._evicted = self._evicted, []
        return gone

    def remaining(self, node: NodeId, now: float) -> tuple[float, bytes] | None:
        """A node's record as it is passed on: seconds it is still to be believed, and bytes.

        None for an unknown node, and for a lost one: whoever does not know it need not now.
        """
        if node == self._own_id and self._own is not None:
            return self._own.record.ttl, self._own.data
        entry = self._entries.get(node)
        if entry is None or entry.lost:
            return None
        left = entry.signed.record.ttl if entry.linked else entry.expires - now
        return (left, entry.signed.data) if left > 0 else None

    def digest(self, start: int = 0) -> Digest:
        """What to send a peer to learn where it knows better."""
        return Digest(self._comparison.hashes, start)

    def listing(self, digest: Digest) -> Listing:
        """What is held here in the parts where a peer's digest differs."""
        linked = {node for node, entry in self._entries.items() if entry.linked}
        linked.add(self._own_id)
        return self._comparison.listing(digest, linked)

    def missing(self, listing: Listing) -> list[NodeId]:
        """Of which nodes a peer has newer records."""
        live = (each for each in listing.items if not each.lost)
        return [each.node for each in live if self.is_news(each.node, each.seq)]

    def _insert(self, entry: Entry) -> Verdict:
        record = entry.signed.record
        if len(self._entries) >= self._most:
            worst = min(self._entries.values(), key=self._worth)
            if self._worth(worst) >= self._worth(entry):
                self._remember(record.node_id, record.seq)
                return "refused"
            self._forget(worst.signed.record.node_id)
            self._evicted.append(worst.signed.record.node_id)
        self._entries[record.node_id] = entry
        self._comparison.put(record.node_id, record.seq, lost=entry.lost)
        return "new"

    def _set_lost(self, entry: Entry, lost: bool) -> None:
        entry.lost = lost
        record = entry.signed.record
        self._comparison.put(record.node_id, record.seq, lost=lost)

    def _worth(self, entry: Entry) -> tuple[bool, bool, bool, int]:
        """Least first: whoever should make room."""
        record = entry.signed.record
        useful = bool(record.models) or any(role != "gateway" for role in record.roles)
        distance = int(record.node_id, 16) ^ int(self._own_id, 16)
        return entry.linked, entry.visible, useful, -distance

    def _forget(self, node: NodeId) -> None:
        entry = self._entries.pop(node)
        self._comparison.drop(node)
        self._remember(node, entry.signed.record.seq)

    def _remember(self, node: NodeId, seq: int) -> None:
        self._floors[node] = seq
        self._floors.move_to_end(node)
        while len(self._floors) > MAX_FLOORS:
            self._floors.popitem(last=False)


def says_the_same(one: NodeRecord, other: NodeRecord) -> bool:
    """Whether two records differ only in when they were made."""
    return replace(one, seq=other.seq, issued_at=other.issued_at, ttl=other.ttl) == other
