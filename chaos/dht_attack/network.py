"""A network of tables without pipes: a call is a delay and the other end's answer.

Addresses are public IPv4 ones, so that what tables do with networks is what they do outside.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from random import Random

from mesh.capability import Role
from mesh.errors import DialError, LinkClosed, StreamReset
from mesh.ids import NodeId
from mesh.ports import LinkWatcher, Priority, Stream, StreamHandler, StreamKind

LATENCY = (0.005, 0.04)
"""Seconds one way, drawn for each message."""

Answer = Callable[["Wire", bytes], Awaitable[bytes]]
"""What an end says to a request that came over a link."""


class Network:
    """Who can be dialled where."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self._ends: dict[str, End] = {}
        self._hosts: set[str] = set()

    def join(self, node: NodeId, answer: Answer | None = None, prefix: str = "") -> End:
        """A new end with a host of its own; `prefix` such as "198.18.7." puts it into a /24."""
        address = f"tcp://{self._host(prefix)}:4001"
        end = self._ends[address] = End(self, node, address, answer)
        return end

    def at(self, address: str) -> End | None:
        """Who listens there."""
        return self._ends.get(address)

    async def travel(self) -> None:
        """The time one message takes."""
        await asyncio.sleep(self.rng.uniform(*LATENCY))

    def _host(self, prefix: str) -> str:
        while True:
            if prefix:
                host = prefix + str(self.rng.randrange(1, 255))
            else:
                host = str(ipaddress.IPv4Address(self.rng.getrandbits(32)))
            if ipaddress.ip_address(host).is_global and host not in self._hosts:
                self._hosts.add(host)
                return host


class End:
    """Implements `mesh.ports.Links` for one node, honest or not."""

    def __init__(self, network: Network, node: NodeId, address: str, answer: Answer | None) -> None:
        self.node = node
        self.address = address
        self._network = network
        self._answer = answer or self._answer_by_handler
        self._handlers: dict[StreamKind, StreamHandler] = {}
        self._links: dict[NodeId, Wire] = {}

    def get(self, node: NodeId) -> Wire | None:
        return self._links.get(node)

    def all(self) -> Sequence[Wire]:
        return list(self._links.values())

    def serve(self, kind: StreamKind, handler: StreamHandler) -> None:
        self._handlers[kind] = handler

    def watch(self, watcher: LinkWatcher) -> None:
        """Nobody greets here: tables are filled by the experiment and by use."""

    def pin(self, node: NodeId, pinned: bool = True) -> None:
        """Nothing is trimmed here."""

    async def connect(
        self, node: NodeId | None, addresses: Sequence[str], *, timeout: float = 5.0
    ) -> Wire:
        known = self._links.get(node) if node is not None else None
        if known is not None:
            return known
        for address in addresses:
            other = self._network.at(address)
            if other is None:
                continue
            for _ in range(4):  # TCP, TLS, proof
                await self._network.travel()
            if node in (None, other.node):
                return self.link(other)
        await asyncio.sleep(timeout)  # nobody refuses: packets vanish
        raise DialError("nobody answered")

    def link(self, other: End) -> Wire:
        """A link to another end, as if dialled."""
        link = self._links.setdefault(other.node, Wire(self, other, dialled=True))
        other._links.setdefault(self.node, Wire(other, self, dialled=False))
        return link

    async def deliver(self, asker: NodeId, request: bytes) -> bytes:
        """What this end answers to a linked one. Raises LinkClosed or StreamReset."""
        link = self._links.get(asker)
        if link is None:
            raise LinkClosed("there is no such link")
        await self._network.travel()
        answer = await self._answer(link, request)
        await self._network.travel()
        return answer

    async def _answer_by_handler(self, link: Wire, request: bytes) -> bytes:
        exchange = Exchange(request)
        await self._handlers[StreamKind.DHT](link, exchange)
        if exchange.answer is None:
            raise StreamReset(0, "no answer")
        return exchange.answer


class Wire:
    """Implements as much of `mesh.ports.Link` as tables use."""

    def __init__(self, own: End, other: End, *, dialled: bool) -> None:
        self._own = own
        self._other = other
        self._dialled = dialled
        self.closed = self.relayed = False
        self.rtt: float | None = None
        self.roles: tuple[Role, ...] = ()

    @property
    def peer(self) -> NodeId:
        return self._other.node

    @property
    def remote(self) -> str:
        return self._other.address

    @property
    def own_address(self) -> str:
        """Where this side is dialled."""
        return self._own.address

    @property
    def dialled_address(self) -> str | None:
        return self._other.address if self._dialled else None

    def open(self, kind: StreamKind, *, priority: Priority = Priority.CHUNK) -> Stream:
        raise LinkClosed("this network carries calls only")

    async def call(self, kind: StreamKind, request: bytes, *, timeout: float) -> bytes:
        async with asyncio.timeout(timeout):
            return await self._other.deliver(self._own.node, request)


class Exchange:
    """The stream of one call, as its server sees it."""

    def __init__(self, request: bytes) -> None:
        self._request: bytes | None = request
        self.answer: bytes | None = None

    async def receive(self) -> bytes | None:
        request, self._request = self._request, None
        return request

    async def send(self, message: bytes) -> None:
        self.answer = message

    def finish(self) -> None:
        """One answer is all."""

    def reset(self, code: int = 0, reason: str = "") -> None:
        self.answer = None

    def on_failure(self, callback: Callable[[], object]) -> None:
        """Calls here do not break midway."""
