"""Merges what several holders say about one key: per node the newest word, each checked once."""

from __future__ import annotations

import asyncio

from dht.counters import DhtCounters
from mesh.errors import RecordRejected, WireError
from mesh.ids import MeshId, NodeId
from mesh.wire.dht import Found
from mesh.wire.dht_records import SignedDhtRecord, open_dht

QUORUM = 2
"""Holders heard before a search stops early: one alone may be out of date."""
_CHECKS_AT_ONCE = 8
"""Signatures checked (170 us each) before others get a turn on the event loop."""


class Gathering:
    """Records of one search, and which holders still have more."""

    def __init__(self, key: bytes, mesh_id: MeshId, *, limit: int, counters: DhtCounters) -> None:
        self._key = key
        self._mesh_id = mesh_id
        self._limit = limit
        self._counters = counters
        self._checked: dict[bytes, NodeId | None] = {}
        self._newest: dict[NodeId, SignedDhtRecord] = {}
        self._sets: set[bytes] = set()
        self.holders = 0

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
    def enough(self) -> bool:
        """True when no further holder need be looked for."""
        return self.full or self.holders >= QUORUM

    async def add(self, found: Found, wall: float) -> None:
        """Take one page. Records that cannot be believed are counted and left out."""
        self.holders += bool(found.items)
        checks = 0
        for _, data in found.items:
            if data not in self._checked:
                self._checked[data] = self._check(data, wall)
                checks += 1
                if checks % _CHECKS_AT_ONCE == 0:
                    await asyncio.sleep(0)

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
        except (WireError, RecordRejected):
            self._counters.refused += 1
            return None
        record = signed.record
        held = self._newest.get(record.node)
        if record.key == self._key and (held is None or held.record.seq < record.seq):
            self._newest[record.node] = signed
        return record.node
