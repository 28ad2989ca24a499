"""Merges what several holders say about one key: per node the newest word, each checked once."""

from __future__ import annotations

import asyncio
import math
from itertools import islice, zip_longest

from dht.counters import DhtCounters
from dht.defences import Defences
from dht.vet import Vet, believe_all
from mesh.errors import RecordRejected, WireError
from mesh.ids import MeshId, NodeId
from mesh.wire.dht import MAX_PAGE, Found
from mesh.wire.dht_records import SignedDhtRecord, check_offering, open_dht

GRACE = 0.005
"""Seconds, at least, that further holders get after enough were heard; they get as long as it took.
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
        defences: Defences,
        counters: DhtCounters,
        vet: Vet = believe_all,
    ) -> None:
        """A search for more than a page of records hears every holder it can find."""
        self._key = key
        self._mesh_id = mesh_id
        self._vet = vet
        self._limit = limit
        self._started = now
        self._defences = defences
        self._enough_at: float | None = None
        self._counters = counters
        self._checked: dict[bytes, NodeId | None] = {}
        self._newest: dict[NodeId, SignedDhtRecord] = {}
        self._told: list[list[NodeId]] = []
        self._sets: set[bytes] = set()

    @property
    def records(self) -> list[SignedDhtRecord]:
        """What was found and is still offered, at most `limit`, from each teller in turn.

        So nobody who tells many records can crowd out what the others told.
        """
        rounds = zip_longest(*self._told)
        nodes = dict.fromkeys(node for each in rounds for node in each if node is not None)
        found = (self._newest[node] for node in nodes)
        live = (signed for signed in found if not signed.record.withdrawn)
        return list(islice(live, self._limit))

    @property
    def full(self) -> bool:
        """True when as many as asked for were found."""
        live = (each for each in self._newest.values() if not each.record.withdrawn)
        return len(list(islice(live, self._limit))) >= self._limit

    def stop_at(self, votes: int, now: float) -> float | None:
        """When to look for no further holder, given those heard until now; None: not before all."""
        if self._limit > MAX_PAGE:
            return None
        if votes >= self._defences.votes:
            return -math.inf
        if votes < self._defences.enough:
            return None
        if self._enough_at is None:
            self._enough_at = now
        return self._enough_at + max(GRACE, self._enough_at - self._started)

    async def add(self, found: Found, wall: float) -> bool:
        """Take one page. Records that cannot be believed are counted and left out.

        Returns whether the teller holds any that can be.
        """
        checks = 0
        for _, data in found.items:
            if data not in self._checked:
                self._checked[data] = self._check(data, wall)
                checks += 1
                if checks % _CHECKS_AT_ONCE == 0:
                    await asyncio.sleep(0)
        told = [self._checked[data] for _, data in found.items]
        self._told.append([node for node in told if node is not None])
        return bool(self._told[-1])

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
            check_offering(signed.record, self._key)
        except (WireError, RecordRejected):
            self._counters.refused += 1
            return None
        record = signed.record
        held = self._newest.get(record.node)
        if held is None or held.record.seq < record.seq:
            self._newest[record.node] = signed
        return record.node
