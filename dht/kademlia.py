"""The distributed table as a service: publish what this node offers, find who offers what."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from random import Random

from dht.counters import DhtCounters
from dht.defences import OPEN, Defences
from dht.networks import network_of, network_of_node
from dht.publisher import Publisher
from dht.search import Search
from dht.table_calls import TableCalls
from dht.table_server import TableServer
from dht.vet import Vet, believe_all
from mesh.capability import NodeRecord
from mesh.clock import Clock
from mesh.errors import RecordRejected, WireError
from mesh.identity.keys import NodeKey
from mesh.ids import MeshId
from mesh.lifecycle import Tasks
from mesh.ports import Link, Links, Stream, StreamKind
from mesh.wire import dht as wire
from mesh.wire.dht_records import DhtKind, open_offering, table_key

FIND_LIMIT = 64
"""Providers one search returns unless told otherwise; from a random place among them."""
FOUND_FOR = 10.0
MISSED_FOR = 3.0
MAX_REMEMBERED = 512
"""Seconds a search's outcome is used again, found or not, and outcomes remembered."""
MAX_SEARCHES = 32
"""Different names searched for at one time; further ones wait."""
GROWTH = 4
"""How many times larger the table is before a node looks for its own neighbourhood again."""
UPKEEP_EVERY = 60.0
"""Seconds between upkeep: dropping dead records, refreshing buckets, asking one old contact."""

Names = tuple[DhtKind, str, int]


class KademliaDirectory:
    """Implements `mesh.ports.ProviderLookup`.

    `offer` says what this node stands for. Only a node with dialable addresses holds a part of the
    table and is named to others; the rest are clients. The owner closes `tasks`.
    """

    def __init__(
        self,
        *,
        key: NodeKey,
        mesh_id: MeshId,
        boot: int,
        links: Links,
        clock: Clock,
        tasks: Tasks,
        rng: Random | None = None,
        vet: Vet = believe_all,
        defences: Defences = OPEN,
    ) -> None:
        """`vet` refuses records of nodes that take no part in the mesh."""
        self._own = key.node_id
        self._links = links
        self._clock = clock
        self._tasks = tasks
        self._rng = rng or Random()
        self.counters = DhtCounters()
        self._server = TableServer(
            own=self._own,
            mesh_id=mesh_id,
            clock=clock,
            counters=self.counters,
            vet=vet,
            defences=defences,
        )
        self._calls = TableCalls(
            links=links, clock=clock, tasks=tasks, server=self._server, counters=self.counters
        )
        self._search = Search(
            own=self._own,
            mesh_id=mesh_id,
            clock=clock,
            tasks=tasks,
            server=self._server,
            calls=self._calls,
            counters=self.counters,
            rng=self._rng,
        )
        self._publisher = Publisher(
            key=key,
            mesh_id=mesh_id,
            boot=boot,
            clock=clock,
            tasks=tasks,
            server=self._server,
            calls=self._calls,
            search=self._search,
            counters=self.counters,
            rng=self._rng,
        )
        self._outcomes: OrderedDict[Names, tuple[float, Sequence[NodeRecord]]] = OrderedDict()
        self._searching: dict[Names, asyncio.Task[Sequence[NodeRecord]]] = {}
        self._slots = asyncio.Semaphore(MAX_SEARCHES)
        self._joined_among = 0

    @property
    def contacts(self) -> int:
        """Nodes in the routing table."""
        return len(self._server.table)

    @property
    def held(self) -> int:
        """Records held for others and itself."""
        return len(self._server.store)

    def start(self) -> None:
        """Serve calls and keep offerings stored. Call once, before links come up."""
        self._links.serve(StreamKind.DHT, self._serve)
        self._links.watch(self._on_link)
        for link in self._links.all():
            self._on_link(link, True)
        self._tasks.supervise(self._publisher.run, "publisher")
        self._tasks.supervise(self._upkeep, "upkeep")

    def offer(self, node: NodeRecord, *, reachable: bool = True) -> None:
        """Stand for exactly this record's roles and models; it need not be signed.

        Not `reachable` from elsewhere: others are not sent here, whatever the addresses are.
        """
        serving = reachable and any(is_dialable(address) for address in node.addresses)
        self._server.me = wire.Self(serving, node.addresses)
        self._publisher.offer(node)

    async def close(self) -> None:
        """Withdraw what was offered, within about a second. Links must still be up."""
        await self._publisher.withdraw_all()

    async def find_providers(self, model: str, *, timeout: float) -> Sequence[NodeRecord]:
        """Records of up to FIND_LIMIT nodes that serve a model; empty when none was found in time.

        Each record holds that one model and was signed by its node.
        """
        return await self.find("model", model, timeout=timeout)

    async def find(
        self, kind: DhtKind, name: str, *, timeout: float, limit: int = FIND_LIMIT
    ) -> Sequence[NodeRecord]:
        """Like `find_providers`, for a role ("service") or a model. Shares running searches."""
        names = (kind, name, limit)
        known = self._outcomes.get(names)
        if known is not None and known[0] > self._clock.now():
            return known[1]
        task = self._searching.get(names)
        if task is None:
            task = self._tasks.spawn(self._find(names), "find")
            self._searching[names] = task
            task.add_done_callback(lambda _: self._searching.pop(names, None))
        done, _ = await asyncio.wait([task], timeout=timeout)
        return task.result() if done and not task.cancelled() else ()

    async def _find(self, names: Names) -> Sequence[NodeRecord]:
        kind, name, limit = names
        async with self._slots:
            signed = await self._search.find_records(table_key(kind, name), limit=limit)
        records = []
        for each in signed:
            try:
                records.append(open_offering(each.record))
            except (WireError, RecordRejected):
                self.counters.refused += 1
        self.counters.hits += bool(records)
        self.counters.misses += not records
        self._remember(names, tuple(records))
        return tuple(records)

    def _remember(self, names: Names, records: Sequence[NodeRecord]) -> None:
        lasting = FOUND_FOR if records else MISSED_FOR
        self._outcomes[names] = (self._clock.now() + lasting, records)
        self._outcomes.move_to_end(names)
        while len(self._outcomes) > MAX_REMEMBERED:
            self._outcomes.popitem(last=False)

    async def _serve(self, link: Link, stream: Stream) -> None:
        data = await stream.receive()
        if data is None:
            return
        if not self._server.may_ask(link.peer, network_of(link.remote)):
            stream.reset(reason="too many questions")
            return
        request = wire.decode_request(data)
        network = network_of_node(link.remote, request.sender.addresses)
        self._calls.heard(link, request.sender)
        await stream.send(wire.encode(self._server.answer(link.peer, request, network)))
        stream.finish()
        self._note_growth()

    def _on_link(self, link: Link, up: bool) -> None:
        if up and not self._tasks.closing and self._own < link.peer:
            self._tasks.spawn(self._greet(link), "greet")

    async def _greet(self, link: Link) -> None:
        await self._calls.greet(link)
        self._note_growth()

    def _note_growth(self) -> None:
        """When the table has grown much: look for this node's own neighbourhood, store again."""
        contacts = len(self._server.table)
        if contacts and contacts >= GROWTH * self._joined_among:
            self._joined_among = contacts
            self._publisher.wake()
            if not self._tasks.closing:
                self._tasks.spawn(self._find_neighbourhood(), "join")

    async def _find_neighbourhood(self) -> None:
        await self._search.find_nodes(bytes.fromhex(self._own))
        self._publisher.wake()

    async def _upkeep(self) -> None:
        while True:
            await asyncio.sleep(UPKEEP_EVERY * self._rng.uniform(0.8, 1.2))
            now = self._clock.now()
            self._server.store.expire(now)
            for target in self._server.table.stale_targets(now, self._rng):
                await self._search.find_nodes(target)
            await self._ask_one()

    async def _ask_one(self) -> None:
        """Dead contacts must not stay until somebody needs them."""
        unlinked = [each for each in self._server.table if not self._calls.is_cheap(each)]
        if unlinked:
            await self._calls.call(self._rng.choice(unlinked), wire.Ping(self._server.me))


def is_dialable(address: str) -> bool:
    """Whether an address leads straight to its node, not through a relay."""
    return not address.startswith("relay:")
