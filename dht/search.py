"""Runs look-ups: performs what the core asks for and feeds back what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

from dht.contact import Contact
from dht.counters import DhtCounters
from dht.gathering import Gathering
from dht.lookup import MAX_REQUESTS, Lookup
from dht.region import MeshSize, entries, in_region, region_bits
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

REPLICAS = 10
"""Holders of each record, at least: with 30 % of all nodes dead at once, six in a million are
lost."""
MAX_HOLDERS = 48
"""Nodes one record is stored with, however many crowd in its region."""

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
        self._defences = server.defences
        self._size = MeshSize()

    async def find_nodes(self, key: bytes, *, k: int = K) -> list[Contact]:
        """The k nearest contacts that answered, nearest first.

        Its other paths lead far away: how near the nodes are there tells how large the mesh is.
        """
        lookup = await self._converge(key, k, 0)
        for path in lookup.paths:
            self._size.observe(path.place, lookup.all_answered())
        return lookup.nearest()

    async def find_holders(self, key: bytes) -> list[Contact]:
        """Who should hold records under a key: all in its region, and the nearest in any case."""
        bits = self._region_bits()
        lookup = await self._converge(key, REPLICAS, bits)
        nearest = lookup.nearest()
        if not self._defences.regions:
            return nearest
        others = [each for each in lookup.all_answered() if each not in nearest]
        members = [each for each in others if in_region(each, key, bits)]
        most = MAX_HOLDERS - len(nearest)
        return nearest + (members if len(members) <= most else self._rng.sample(members, most))

    async def find_records(self, key: bytes, *, limit: int) -> list[SignedDhtRecord]:
        """Up to `limit` records of different nodes, merged over holders."""
        clock = self._clock
        gathering = self._gathering(key, limit)
        start = self._random_start(limit)
        bits = self._region_bits()
        wanted = self._defences.votes if limit <= wire.MAX_PAGE else MAX_REQUESTS
        lookup = self._lookup(key, K, bits, votes_wanted=wanted)
        own = int(await gathering.add(self._server.page(key, None, limit), clock.wall()))
        rest: list[tuple[Contact, wire.Found, wire.FindRecords]] = []

        def request(place: bytes) -> wire.FindRecords:
            most, towards = min(limit, wire.MAX_PAGE), None if place == key else place
            return wire.FindRecords(self._server.me, key, start, most, True, towards)

        async def take(contact: Contact, answer: wire.DhtAnswer) -> float | None:
            if isinstance(answer, wire.Found):
                holds = await gathering.add(answer, clock.wall())
                if holds and (not self._defences.regions or in_region(contact, key, bits)):
                    lookup.vote(contact.node)
                rest.append((contact, answer, request(key)))
            if not lookup.heard_everywhere:
                return None
            return gathering.stop_at(own + lookup.votes, clock.now())

        if not gathering.full:
            await self._run(lookup, request, take)
        for contact, found, asked in rest:
            if gathering.wants(found):
                await self._fetch_rest(gathering, contact, asked, found)
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
            await gathering.add(answer, self._clock.wall())
            after = gathering.last_node(answer)
            if gathering.full or not answer.more or after is None:
                return

    def _random_start(self, limit: int) -> NodeId | None:
        """Begin anywhere, so that not every asker finds the same providers; not when all count."""
        if limit > wire.MAX_PAGE:
            return None
        return NodeId(f"{self._rng.getrandbits(160):040x}")

    def _gathering(self, key: bytes, limit: int) -> Gathering:
        return Gathering(
            key,
            self._mesh_id,
            limit=limit,
            now=self._clock.now(),
            defences=self._defences,
            counters=self._counters,
            vet=self._server.vet,
        )

    async def _converge(self, key: bytes, k: int, bits: int) -> Lookup:
        """Look for nodes until all near the places of a look-up have answered."""
        lookup = self._lookup(key, k, bits)

        async def take(contact: Contact, answer: wire.DhtAnswer) -> float | None:
            return None

        await self._run(lookup, lambda place: wire.FindNodes(self._server.me, place), take)
        return lookup

    def _region_bits(self) -> int:
        return region_bits(self._size.nodes(len(self._server.table)))

    def _lookup(self, key: bytes, k: int, bits: int, *, votes_wanted: int = MAX_REQUESTS) -> Lookup:
        """Paths to the key and to other places of its region, from contacts near each."""
        self._counters.lookups += 1
        table = self._server.table
        table.touch(key, self._clock.now())
        beside = entries(key, bits, self._defences.paths - 1, self._rng)
        nearest = {each.node: each for place in (key, *beside) for each in table.nearest(place)}
        return Lookup(
            self._own,
            key,
            self._calls.hopeful(nearest.values()),
            k=k,
            entries=beside,
            bounds=self._defences.lookup,
            informants=self._defences.informants,
            votes_wanted=votes_wanted,
            prefer=self._calls.is_cheap,
        )

    async def _run(
        self, lookup: Lookup, request: Callable[[bytes], wire.DhtRequest], take: Take
    ) -> None:
        """Until the core is done or the time has come that `take` named.

        Requests still in flight then are left to end by themselves: a contact that never answers
        must leave the routing table, or every look-up would wait for it again.
        """
        results: asyncio.Queue[Result] = asyncio.Queue()
        stop_at: float | None = None
        while True:
            if stop_at is None:
                for contact in lookup.next(self._clock.now(), self._calls.times.patience):
                    asked = request(lookup.place_of(contact.node))
                    self._tasks.spawn(self._ask(contact, asked, results), "ask")
            elif lookup.wake_at is None or stop_at <= self._clock.now():
                return
            if lookup.done:
                return
            wake_at = lookup.wake_at if stop_at is None else stop_at
            for contact, answer in await self._collect(results, wake_at):
                if self._feed(lookup, contact, answer) and answer is not None:
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

    def _feed(self, lookup: Lookup, contact: Contact, answer: wire.DhtAnswer | None) -> bool:
        """Whether the answer is listened to."""
        if not isinstance(answer, wire.Nodes | wire.Found):
            lookup.failed(contact.node)
            return False
        nearer = [Contact.of(address) for address in answer.contacts if address.addresses]
        network = self._calls.network_of(contact)
        return lookup.answered(contact.node, self._calls.hopeful(nearer), network)
