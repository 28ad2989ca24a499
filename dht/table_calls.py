"""Sends table requests over links, dialling where there is none, and learns from the answers."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from dht.contact import Contact
from dht.counters import DhtCounters
from dht.networks import Network, network_of_node
from dht.response_time import ResponseTime
from dht.table_server import TableServer
from mesh.clock import Clock
from mesh.errors import LinkClosed, LinkError, WireError
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.ports import Link, Links, StreamKind
from mesh.wire import dht as wire

CALL_TIMEOUT = 3.0
"""Seconds after which an answer is no longer waited for; look-ups go on long before."""
MAX_CHECKS = 8
"""Contacts asked at one time whether they are still alive."""
HOPELESS_FOR = 60.0
MAX_HOPELESS = 1_024
"""Seconds a contact that failed is not tried again, and how many are remembered."""


class TableCalls:
    """One request, one answer. Failing contacts leave the routing table."""

    def __init__(
        self,
        *,
        links: Links,
        clock: Clock,
        tasks: Tasks,
        server: TableServer,
        counters: DhtCounters,
    ) -> None:
        self._links = links
        self._clock = clock
        self._tasks = tasks
        self._server = server
        self._counters = counters
        self._checking: set[NodeId] = set()
        self._hopeless: OrderedDict[NodeId, float] = OrderedDict()
        self.times = ResponseTime()

    def is_cheap(self, contact: Contact) -> bool:
        """True when a link to the contact is up that this side dialled: asking needs no dialling.

        Whoever dialled this node would be asked first by linking first.
        """
        link = self._links.get(contact.node)
        return link is not None and (
            link.dialled_address is not None or not self._server.defences.informants
        )

    def network_of(self, contact: Contact) -> Network | None:
        """Where a contact is, as far as a link shows it, else as it claims."""
        link = self._links.get(contact.node)
        if link is None:
            return contact.network
        return network_of_node(link.remote, contact.addresses)

    def hopeful(self, contacts: Iterable[Contact]) -> list[Contact]:
        """Those that did not fail lately: peers go on naming the dead for a while."""
        now = self._clock.now()
        return [each for each in contacts if self._hopeless.get(each.node, 0.0) <= now]

    async def call(self, contact: Contact, request: wire.DhtRequest) -> wire.DhtAnswer | None:
        """The answer, or None when there was none in CALL_TIMEOUT or it was nonsense."""
        started = self._clock.now()
        self._counters.rpcs += 1
        try:
            answer = await self._call_anew(contact, request)
        except (LinkError, TimeoutError, WireError):
            self._counters.failures += 1
            self._give_up(contact)
            return None
        self.times.measured(self._clock.now() - started)
        return answer

    async def greet(self, link: Link) -> None:
        """Exchange who we are to the table over a new link."""
        try:
            await self._call(link, wire.Ping(self._server.me))
        except (LinkError, TimeoutError, WireError):
            self._counters.failures += 1

    def heard(self, link: Link, sender: wire.Self) -> None:
        """Learn from what a peer said of itself; check an old contact where the table is full."""
        self._hopeless.pop(link.peer, None)
        network = network_of_node(link.remote, sender.addresses)
        doubtful = self._server.heard(link.peer, sender, network)
        if doubtful is None or doubtful.node in self._checking:
            return
        if len(self._checking) < MAX_CHECKS and not self._tasks.closing:
            self._checking.add(doubtful.node)
            self._tasks.spawn(self._check(doubtful), "check")

    async def _call_anew(self, contact: Contact, request: wire.DhtRequest) -> wire.DhtAnswer:
        """Over the live link, or a new one; once more when that was just being let go as idle."""
        link = self._links.get(contact.node)
        if link is not None:
            try:
                return await self._call(link, request)
            except LinkClosed as error:
                if error.cause != "clean":
                    raise
        link = await self._links.connect(contact.node, contact.addresses, timeout=CALL_TIMEOUT)
        return await self._call(link, request)

    async def _call(self, link: Link, request: wire.DhtRequest) -> wire.DhtAnswer:
        data = await link.call(StreamKind.DHT, wire.encode(request), timeout=CALL_TIMEOUT)
        answer = wire.decode_answer(data)
        self.heard(link, answer.sender)
        return answer

    def _give_up(self, contact: Contact) -> None:
        self._server.table.remove_contact(contact)
        self._hopeless[contact.node] = self._clock.now() + HOPELESS_FOR
        self._hopeless.move_to_end(contact.node)
        while len(self._hopeless) > MAX_HOPELESS:
            self._hopeless.popitem(last=False)

    async def _check(self, contact: Contact) -> None:
        try:
            await self.call(contact, wire.Ping(self._server.me))
        finally:
            self._checking.discard(contact.node)
