"""Merges what several holders say about one key: per node the newest word, each checked once."""

from __future__ import annotations

import asyncio
import math

from dht.counters import DhtCounters
from dht.vet import Vet, believe_all
from mesh.errors import RecordRejected, WireError
from mesh.ids import MeshId, NodeId
from mesh.wire.dht import MAX_PAGE, Found
from mesh.wire.dht_records import SignedDhtRecord, open_dht

QUORUM = 2
"""Holders heard before a search stops early: one alone may be out of date."""
GRACE = 0.005
"""Seconds, at least, that a second holder gets after the first; it gets as long as the first took.
A search must not wait for the dead when it has an answer."""
_CHECKS_AT_ONCE = 8
"""Signatures checked (170 us each) before others get a turn on the event loop."""


class Gathering:
    """Records of one search, and which holders still have more."""

    def __init__(
        self,
        key: bytes,
        mesh_id: MeshId,
        *,
        limit: int,
        now: float,
        counters: DhtCounters,
        vet: Vet = believe_all,
    ) -> None:
        """A search for more than a page of records hears every holder it can find."""
        self._key = key
        self._mesh_id = mesh_id
        self._vet = vet
        self._limit = limit
        self._started = now
        self._first_at: float | None = None
        self._holders = 0
        self._counters = counters
        self._checked: dict[bytes, NodeId | None] = {}
        self._newest: dict[NodeId, SignedDhtRecord] = {}
        self._sets: set[bytes] = set()

    @property
    def records(self) -> list[SignedDhtRecord]:
        """What was found and is still offered, at most `limit`."""
        live = (signed for signed in self._newest.values() if not signed.record.withdrawn)
        return [signed for signed, _ in zip(live, range(self._limit), strict=False)]

    @property
    def full(self) -> bool:
        """True when as many as asked for were found."""
        return len(self.records) >= self._limit

    @property
    def stop_at(self) -> float | None:
        """When to look for no further holder; None: not before all are heard."""
        if self.full or (self._holders >= QUORUM and self._limit <= MAX_PAGE):
            return -math.inf
        if self._first_at is None or self._limit > MAX_PAGE:
            return None
        return self._first_at + max(GRACE, self._first_at - self._started)

    async def add(self, found: Found, now: float, wall: float) -> None:
        """Take one page. Records that cannot be believed are counted and left out."""
        checks = 0
        for _, data in found.items:
            if data not in self._checked:
                self._checked[data] = self._check(data, wall)
                checks += 1
                if checks % _CHECKS_AT_ONCE == 0:
                    await asyncio.sleep(0)
        if any(self._checked[data] is not None for _, data in found.items):
            self._holders += 1
            if self._first_at is None:
                self._first_at = now

    def last_node(self, found: Found) -> NodeId | None:
        """Whose record ended a page that was added; None for an empty page or a bad record."""
        return self._checked.get(found.items[-1][1]) if found.items else None

    def wants(self, found: Found) -> bool:
        """Whether the rest of what this holder has is worth fetching: nobody gave that set yet."""
        if self.full or found.total <= len(found.items) or found.set_hash in self._sets:
            return False
        self._sets.add(found.set_hash)
        return True

    def _check(self, data: bytes, wall: float) -> NodeId | None:
        try:
            signed = open_dht(data, self._mesh_id, wall)
            self._vet(signed.record.node, signed.record.grants)
        except (WireError, RecordRejected):
            self._counters.refused += 1
            return None
        record = signed.record
        held = self._newest.get(record.node)
        if record.key == self._key and (held is None or held.record.seq < record.seq):
            self._newest[record.node] = signed
        return record.node
