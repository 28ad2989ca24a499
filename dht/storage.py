"""The part of the table this node holds: pure, bounded, merged by the newest word of each origin.

Bounds: records in all, under one key, from one origin and from one peer that stored them. When
full, records under keys nearer to this node push out those under the farthest key. A record lives
for the time it arrived with, never longer than its signed ttl counted from when it was first seen,
and its seq is remembered after it died, so that an old one cannot come back. Withdrawn records are
held and given out like others: a reader needs them to see that an older one is no longer true.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right, insort
from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from mesh.ids import NodeId
from mesh.wire.dht import SET_HASH
from mesh.wire.dht_records import DhtRecord, SignedDhtRecord

MAX_RECORDS = 20_000
MAX_PER_KEY = 2_500
MAX_PER_ORIGIN = 1_024
MAX_PER_STORER = 4_096
MAX_FLOORS = 8_192
"""Remembered seqs of records that died."""

Verdict = Literal["new", "newer", "same", "older", "full"]
"""What became of a record. It is held after "new", "newer" and "same"."""


@dataclass(slots=True)
class _Held:
    signed: SignedDhtRecord
    storer: NodeId
    first_seen: float
    expires: float
    network: str


@dataclass(slots=True)
class _Key:
    """Everything under one key. `order` holds the nodes in rising order, for paging."""

    nodes: dict[NodeId, _Held] = field(default_factory=dict)
    order: list[NodeId] = field(default_factory=list)
    set_hash: int = 0
    networks: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Page:
    """Some records under a key with their remaining seconds. `more`: others follow."""

    items: tuple[tuple[float, SignedDhtRecord], ...]
    more: bool
    total: int
    set_hash: bytes


class RecordStore:
    """Records by key, then by the node that signed them."""

    def __init__(
        self, own: NodeId, *, most: int = MAX_RECORDS, most_per_key: int = MAX_PER_KEY
    ) -> None:
        self._own = int(own, 16)
        self._most = most
        self._most_per_key = most_per_key
        self._keys: dict[bytes, _Key] = {}
        self._far: list[tuple[int, bytes]] = []
        self._count = 0
        self._origins: Counter[NodeId] = Counter()
        self._storers: Counter[NodeId] = Counter()
        self._floors: OrderedDict[tuple[bytes, NodeId], int] = OrderedDict()

    def __len__(self) -> int:
        return self._count

    def put(
        self,
        signed: SignedDhtRecord,
        remaining: float,
        storer: NodeId,
        now: float,
        *,
        network: str = "",
    ) -> Verdict:
        """Merge a checked record that `storer` handed over. `network`: where that was, "" if local.

        A full key makes room for a network that has fewer records there than the one with most.
        """
        record = signed.record
        held = self._get(record)
        if held is None:
            if record.seq <= self._floors.get((record.key, record.node), -1):
                return "older"
            if not self._has_room(record, storer, now, network):
                return "full"
            self._add(signed, remaining, storer, now, network)
            return "new"
        if record.seq < held.signed.record.seq:
            return "older"
        if record.seq > held.signed.record.seq:
            self._remove(record.key, record.node)
            self._add(signed, remaining, storer, now, network)
            return "newer"
        latest = held.first_seen + held.signed.record.ttl
        held.expires = min(latest, max(held.expires, now + remaining))
        return "same"

    def page(
        self,
        key: bytes,
        now: float,
        *,
        after: NodeId | None = None,
        limit: int,
        around: bool = False,
    ) -> Page:
        """Live records under a key, by rising node id after `after`.

        `around`: those up to `after` follow the others.
        """
        self._expire_key(key, now)
        entry = self._keys.get(key)
        if entry is None:
            return Page((), False, 0, bytes(SET_HASH))
        at = 0 if after is None else bisect_right(entry.order, after)
        nodes = entry.order[at:] + (entry.order[:at] if around else [])
        held = [entry.nodes[node] for node in nodes[:limit]]
        items = tuple((each.expires - now, each.signed) for each in held)
        set_hash = entry.set_hash.to_bytes(SET_HASH, "big")
        return Page(items, len(nodes) > limit, len(entry.nodes), set_hash)

    def expire(self, now: float) -> int:
        """Drop what is past its time. Returns how many records died."""
        before = self._count
        for key in list(self._keys):
            self._expire_key(key, now)
        return before - self._count

    def records(self) -> Iterator[DhtRecord]:
        """Every record held, withdrawn ones too."""
        for entry in self._keys.values():
            for held in entry.nodes.values():
                yield held.signed.record

    def _get(self, record: DhtRecord) -> _Held | None:
        entry = self._keys.get(record.key)
        return None if entry is None else entry.nodes.get(record.node)

    def _add(
        self, signed: SignedDhtRecord, remaining: float, storer: NodeId, now: float, network: str
    ) -> None:
        record = signed.record
        entry = self._keys.get(record.key)
        if entry is None:
            entry = self._keys[record.key] = _Key()
            insort(self._far, self._place(record.key))
        lives = min(remaining, record.ttl)
        entry.nodes[record.node] = _Held(signed, storer, now, now + lives, network)
        entry.networks[network] += 1
        insort(entry.order, record.node)
        entry.set_hash ^= _pair_hash(record)
        self._count += 1
        self._origins[record.node] += 1
        self._storers[storer] += 1

    def _has_room(self, record: DhtRecord, storer: NodeId, now: float, network: str) -> bool:
        if self._origins[record.node] >= MAX_PER_ORIGIN:
            return False
        if self._storers[storer] >= MAX_PER_STORER:
            return False
        entry = self._keys.get(record.key)
        if entry is not None and len(entry.nodes) >= self._most_per_key:
            self._expire_key(record.key, now)
            if len(entry.nodes) >= self._most_per_key:
                return self._make_room_beside(entry, network)
        return self._count < self._most or self._make_room(record.key, now)

    def _make_room_beside(self, entry: _Key, network: str) -> bool:
        """Drop the youngest record of the network that has most, if that has more than this one."""
        largest, count = max(entry.networks.items(), key=lambda item: (item[0] != "", item[1]))
        if largest == "" or count <= entry.networks[network] + 1:
            return False
        crowd = [held for held in entry.nodes.values() if held.network == largest]
        youngest = max(crowd, key=lambda held: held.first_seen).signed.record
        self._remove(youngest.key, youngest.node)
        return True

    def _make_room(self, key: bytes, now: float) -> bool:
        """Drop one record under the farthest key, if that is farther than the newcomer's."""
        if self.expire(now):
            return True
        distance, farthest = self._far[-1]
        if distance <= self._place(key)[0]:
            return False
        self._remove(farthest, self._keys[farthest].order[-1])
        return True

    def _expire_key(self, key: bytes, now: float) -> None:
        entry = self._keys.get(key)
        if entry is None:
            return
        dead = [held.signed.record for held in entry.nodes.values() if held.expires <= now]
        for record in dead:
            self._remove(key, record.node)
            self._floors[key, record.node] = record.seq
            self._floors.move_to_end((key, record.node))
        while len(self._floors) > MAX_FLOORS:
            self._floors.popitem(last=False)

    def _remove(self, key: bytes, node: NodeId) -> None:
        entry = self._keys[key]
        held = entry.nodes.pop(node)
        entry.order.pop(bisect_right(entry.order, node) - 1)
        entry.set_hash ^= _pair_hash(held.signed.record)
        self._count -= 1
        _subtract(self._origins, node)
        _subtract(self._storers, held.storer)
        _subtract(entry.networks, held.network)
        if not entry.nodes:
            del self._keys[key]
            self._far.pop(bisect_right(self._far, self._place(key)) - 1)

    def _place(self, key: bytes) -> tuple[int, bytes]:
        return int.from_bytes(key, "big") ^ self._own, key


def _pair_hash(record: DhtRecord) -> int:
    """XORed over a set this tells equal sets apart from others; nothing relies on it for safety."""
    pair = f"{record.node}{record.seq}".encode()
    return int.from_bytes(hashlib.blake2b(pair, digest_size=SET_HASH).digest(), "big")


def _subtract(counter: Counter[Any], name: str) -> None:
    counter[name] -= 1
    if counter[name] <= 0:
        del counter[name]
