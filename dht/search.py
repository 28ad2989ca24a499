"""Runs look-ups: performs what the core asks for and feeds back what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

from dht.contact import Contact
from dht.counters import DhtCounters
from dht.gathering import Gathering
from dht.lookup import Lookup
from dht.routing import K
from dht.table_calls import TableCalls
from dht.table_server import TableServer
from mesh.clock import Clock
from mesh.ids import MeshId, NodeId
from mesh.lifecycle import Tasks
from mesh.wire import dht as wire
from mesh.wire.dht_records import SignedDhtRecord

MAX_PAGES = 64
"""Pages fetched from one holder: 200 records each at most."""

Result = tuple[Contact, wire.DhtAnswer | None]
Take = Callable[[Contact, wire.DhtAnswer], Awaitable[float | None]]
"""Takes an answer and says when to stop asking; None: when the core is done."""


class Search:
    """Finds the nodes nearest to a key, and the records under it."""

    def __init__(
        self,
        *,
        own: NodeId,
        mesh_id: MeshId,
        clock: Clock,
        tasks: Tasks,
        server: TableServer,
        calls: TableCalls,
        counters: DhtCounters,
        rng: Random,
    ) -> None:
        self._own = own
        self._mesh_id = mesh_id
        self._clock = clock
        self._tasks = tasks
        self._server = server
        self._calls = calls
        self._counters = counters
        self._rng = rng

    async def find_nodes(self, key: bytes, *, k: int = K) -> list[Contact]:
        """The k nearest contacts that answered, nearest first."""
        request = wire.FindNodes(self._server.me, key)
        lookup = self._lookup(key, k)

        async def take(contact: Contact, answer: wire.DhtAnswer) -> float | None:
            return None

        await self._run(lookup, request, take)
        return lookup.nearest()

    async def find_records(self, key: bytes, *, limit: int) -> list[SignedDhtRecord]:
        """Up to `limit` records of different nodes, merged over holders."""
        clock = self._clock
        gathering = Gathering(
            key,
            self._mesh_id,
            limit=limit,
            now=clock.now(),
            counters=self._counters,
            vet=self._server.vet,
        )
        start = self._random_start(limit)
        most = min(limit, wire.MAX_PAGE)
        request = wire.FindRecords(self._server.me, key, start, most, around=True)
        rest: list[tuple[Contact, wire.Found]] = []
        await gathering.add(self._server.page(key, None, limit), clock.now(), clock.wall())

        async def take(contact: Contact, answer: wire.DhtAnswer) -> float | None:
            if isinstance(answer, wire.Found):
                await gathering.add(answer, clock.now(), clock.wall())
                rest.append((contact, answer))
            return gathering.stop_at

        if not gathering.full:
            await self._run(self._lookup(key), request, take)
        for contact, found in rest:
            if gathering.wants(found):
                await self._fetch_rest(gathering, contact, request, found)
        return gathering.records

    async def _fetch_rest(
        self, gathering: Gathering, contact: Contact, request: wire.FindRecords, found: wire.Found
    ) -> None:
        """Fetch what follows the first page; from the lowest id if that began anywhere else."""
        after = gathering.last_node(found) if request.after is None else None
        for _ in range(MAX_PAGES):
            page = wire.FindRecords(self._server.me, request.key, after)
            answer = await self._calls.call(contact, page)
            if not isinstance(answer, wire.Found):
                return
            await gathering.add(answer, self._clock.now(), self._clock.wall())
            after = gathering.last_node(answer)
            if gathering.full or not answer.more or after is None:
                return

    def _random_start(self, limit: int) -> NodeId | None:
        """Begin anywhere, so that not every asker finds the same providers; not when all count."""
        if limit > wire.MAX_PAGE:
            return None
        return NodeId(f"{self._rng.getrandbits(160):040x}")

    def _lookup(self, key: bytes, k: int = K) -> Lookup:
        self._counters.lookups += 1
        self._server.table.touch(key, self._clock.now())
        nearest = self._calls.hopeful(self._server.table.nearest(key))
        return Lookup(self._own, key, nearest, k=k, prefer=self._calls.is_cheap)

    async def _run(self, lookup: Lookup, request: wire.DhtRequest, take: Take) -> None:
        """Until the core is done or the time has come that `take` named.

        Requests still in flight then are left to end by themselves: a contact that never answers
        must leave the routing table, or every look-up would wait for it again.
        """
        results: asyncio.Queue[Result] = asyncio.Queue()
        stop_at: float | None = None
        while True:
            if stop_at is None:
                for contact in lookup.next(self._clock.now(), self._calls.times.patience):
                    self._tasks.spawn(self._ask(contact, request, results), "ask")
            elif lookup.wake_at is None or stop_at <= self._clock.now():
                return
            if lookup.done:
                return
            wake_at = lookup.wake_at if stop_at is None else stop_at
            for contact, answer in await self._collect(results, wake_at):
                self._feed(lookup, contact, answer)
                if answer is not None:
                    stop_at = await take(contact, answer)

    async def _ask(
        self, contact: Contact, request: wire.DhtRequest, results: asyncio.Queue[Result]
    ) -> None:
        results.put_nowait((contact, await self._calls.call(contact, request)))

    async def _collect(self, results: asyncio.Queue[Result], wake_at: float | None) -> list[Result]:
        """What has come in, waiting for the first at most until `wake_at`."""
        patience = None if wake_at is None else max(0.0, wake_at - self._clock.now())
        try:
            async with asyncio.timeout(patience):
                collected = [await results.get()]
        except TimeoutError:
            return []
        while not results.empty():
            collected.append(results.get_nowait())
        return collected

    def _feed(self, lookup: Lookup, contact: Contact, answer: wire.DhtAnswer | None) -> None:
        if not isinstance(answer, wire.Nodes | wire.Found):
            lookup.failed(contact.node)
            return
        nearer = [Contact.of(address) for address in answer.contacts if address.addresses]
        lookup.answered(contact.node, self._calls.hopeful(nearer))
