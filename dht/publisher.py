"""Keeps this node's offerings stored with the nodes nearest to their keys."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random

from dht.contact import Contact
from dht.counters import DhtCounters
from dht.offerings import TTL, Offering, Offerings
from dht.search import REPLICAS, Search
from dht.table_calls import TableCalls
from dht.table_server import TableServer
from mesh.capability import NodeRecord
from mesh.clock import Clock
from mesh.errors import WireError
from mesh.identity.keys import NodeKey
from mesh.ids import MeshId
from mesh.lifecycle import Tasks
from mesh.wire import dht as wire
from mesh.wire.dht_records import (
    DhtRecord,
    SignedDhtRecord,
    pack_offering,
    sign_dht,
    table_key,
)

START_PAUSE = 1.0
"""Seconds, at most, between the first contact and the first storing."""
MAX_AT_ONCE = 4
"""Offerings being stored at one time."""
FAREWELL = 1.0
"""Seconds that saying goodbye to holders may take."""


class Publisher:
    """Stores, renews and withdraws. Success means that holders said so."""

    def __init__(
        self,
        *,
        key: NodeKey,
        mesh_id: MeshId,
        boot: int,
        clock: Clock,
        tasks: Tasks,
        server: TableServer,
        calls: TableCalls,
        search: Search,
        counters: DhtCounters,
        rng: Random,
    ) -> None:
        self._key = key
        self._mesh_id = mesh_id
        self._clock = clock
        self._tasks = tasks
        self._server = server
        self._calls = calls
        self._search = search
        self._counters = counters
        self._rng = rng
        self._offerings = Offerings()
        self._seq = boot << 32
        self._changed = asyncio.Event()

    def offer(self, node: NodeRecord) -> None:
        """Stand for exactly this node's roles and models from now on."""
        self._offerings.replace(node)
        self._changed.set()

    def wake(self) -> None:
        """Look again at what is due: the table may have grown."""
        self._changed.set()

    async def run(self) -> None:
        """Store whatever is due, for ever."""
        await self._first_contact()
        while True:
            self._changed.clear()
            contacts = len(self._server.table)
            due = self._offerings.due(self._clock.now(), contacts) if contacts else []
            for start in range(0, len(due), MAX_AT_ONCE):
                batch = due[start : start + MAX_AT_ONCE]
                await asyncio.wait(
                    [self._tasks.spawn(self._publish(each), "publish") for each in batch]
                )
            await self._sleep(None if not contacts else self._offerings.next_due(contacts))

    async def withdraw_all(self) -> None:
        """Tell linked holders that this node leaves; as far as FAREWELL allows."""
        items = [self._sign(each) for each in self._offerings.withdraw_all()]
        if not items:
            return
        batch = tuple((each.record.ttl, each.data) for each in items[: wire.MAX_STORES])
        near = [each for each in self._server.table if self._calls.is_cheap(each)]
        calls = [
            self._tasks.spawn(self._calls.call(each, wire.Store(self._server.me, batch)), "leave")
            for each in near
        ]
        if calls:
            await asyncio.wait(calls, timeout=FAREWELL)

    async def _first_contact(self) -> None:
        """Wait for somebody to store with, and a moment more: a mesh that starts is busy."""
        while not len(self._server.table):
            self._changed.clear()
            await self._changed.wait()
        await asyncio.sleep(self._rng.uniform(0.2, 1.0) * START_PAUSE)

    async def _sleep(self, until: float | None) -> None:
        patience = None if until is None else max(0.05, until - self._clock.now())
        try:
            async with asyncio.timeout(patience):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _publish(self, offering: Offering) -> None:
        try:
            signed = self._sign(offering)
        except WireError:
            holders = 0  # a name too long for a record: never fits, tried ever more rarely
        else:
            holders = await self._store(signed)
        self._counters.published += holders > 0
        self._counters.unpublished += holders == 0
        contacts = len(self._server.table)
        self._offerings.stored(offering, holders, contacts, self._clock.now())

    async def _store(self, signed: SignedDhtRecord) -> int:
        """Store with the nearest; returns how many hold it now, this node not counted."""
        key = signed.record.key
        nearest = await self._search.find_holders(key)
        if self._server.me.serving and _is_among(self._key, key, nearest):
            own = self._key.node_id
            self._server.store.put(signed, signed.record.ttl, own, self._clock.now())
        request = wire.Store(self._server.me, ((signed.record.ttl, signed.data),))
        return sum(await self._ask_all(nearest, request))

    async def _ask_all(self, holders: Sequence[Contact], request: wire.Store) -> list[bool]:
        async def ask(contact: Contact) -> bool:
            answer = await self._calls.call(contact, request)
            return isinstance(answer, wire.Stored) and answer.held == (True,)

        return list(await asyncio.gather(*(ask(each) for each in holders)))

    def _sign(self, offering: Offering) -> SignedDhtRecord:
        self._seq += 1
        body = b""
        if not offering.withdrawn:
            body = pack_offering(offering.name, offering.node, offering.model)
        record = DhtRecord(
            kind=offering.kind,
            key=table_key(offering.kind, offering.name),
            node=self._key.node_id,
            seq=self._seq,
            issued_at=self._clock.wall(),
            ttl=TTL,
            body=body,
            grants=offering.node.grants,
        )
        return sign_dht(self._key, self._mesh_id, record)


def _is_among(own: NodeKey, key: bytes, nearest: Sequence[Contact]) -> bool:
    """Whether this node itself is one of the nodes nearest to the key."""
    if len(nearest) < REPLICAS:
        return True
    target = int.from_bytes(key, "big")
    ranked = sorted(each.long_id ^ target for each in nearest)
    return int(own.node_id, 16) ^ target < ranked[-1]
