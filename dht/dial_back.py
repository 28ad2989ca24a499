"""Dials nodes back that ask whether they can be reached, and tells them what came of it.

Only the place that the asker's own link comes from is dialled, so nobody can make this node knock
at other people's networks (cf. AutoNAT v2, libp2p specs). How often is limited per source and in
all: an asker may share its outside address with neighbours who did not ask.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from dht.allowance import Allowance
from mesh.clock import Clock
from mesh.errors import DialError, HandshakeError
from mesh.ids import NodeId
from mesh.links.hosts import tcp_host
from mesh.links.knock import Knocker
from mesh.links.pipe import Address, Pipe, parse_address
from mesh.links.tcp import dial_tcp
from mesh.ports import Link, Stream
from mesh.wire.reach import Outcome, ReachMe, Seen, decode_reach_me, encode_seen

KNOCK_TIMEOUT = 3.0
"""Seconds until an address counts as silent; a TCP connection over 1 s away takes 3 with TLS."""
MAX_KNOCKS = 4
"""Addresses dialled for one request."""
ASK_RATE, ASK_BURST = 0.2, 30.0
"""Requests a second, and at once, of one source host; a family of nodes shares one."""
KNOCK_RATE, KNOCK_BURST = 10.0, 100.0
"""Dials a second, and at once, for all askers together (1.4 ms of CPU each)."""
MAX_AT_ONCE = 16
"""Requests being served at one time, one a peer; those beyond are told only where they are seen."""
LEAST_PORT = 1_024
WEB_PORTS = frozenset({80, 443})
"""Ports dialled besides those from LEAST_PORT on: nobody's mail server is knocked at."""


@dataclass(slots=True)
class DialBackCounters:
    """For metrics."""

    asked: int = 0
    turned_away: int = 0
    knocks: int = 0
    reached: int = 0


def choose_targets(observed: str, request: ReachMe) -> list[Address]:
    """What to dial for an asker seen at `observed`: that host and no other. Pure."""
    found: dict[Address, None] = {}
    for url in (str(Address("tcp", observed, request.port)), *request.addresses):
        if tcp_host(url) == observed:
            address = parse_address(url)
            if address.port >= LEAST_PORT or address.port in WEB_PORTS:
                found[address] = None
    return list(found)[:MAX_KNOCKS]


class DialBack:
    """Serves REACH streams."""

    def __init__(
        self, *, clock: Clock, open_pipe: Callable[[Address], Awaitable[Pipe]] = dial_tcp
    ) -> None:
        self._clock = clock
        self._knocker = Knocker(open_pipe)
        self._asks = Allowance(rate=ASK_RATE, burst=ASK_BURST)
        self._knocks = Allowance(rate=KNOCK_RATE, burst=KNOCK_BURST)
        self._serving: set[NodeId] = set()
        self.counters = DialBackCounters()

    async def serve(self, link: Link, stream: Stream) -> None:
        """Answer one request. Raises WireError on nonsense."""
        data = await stream.receive()
        if data is None:
            return
        request = decode_reach_me(data)
        self.counters.asked += 1
        await stream.send(encode_seen(await self._answer(link, request)))
        stream.finish()

    async def _answer(self, link: Link, request: ReachMe) -> Seen:
        observed = tcp_host(link.remote)
        if observed is None or link.relayed:
            return Seen()
        targets = choose_targets(observed, request)
        if not self._may(link.peer, observed, len(targets)):
            self.counters.turned_away += 1
            return Seen(observed)
        self._serving.add(link.peer)
        try:
            outcomes = await asyncio.gather(*(self._knock(link.peer, each) for each in targets))
        finally:
            self._serving.discard(link.peer)
        return Seen(observed, tuple(zip(map(str, targets), outcomes, strict=True)))

    def _may(self, peer: NodeId, source: str, knocks: int) -> bool:
        """Within every limit; counts the request."""
        now = self._clock.now()
        return (
            peer not in self._serving
            and len(self._serving) < MAX_AT_ONCE
            and self._asks.take(source, 1, now)
            and self._knocks.take("", knocks, now)
        )

    async def _knock(self, node: NodeId, address: Address) -> Outcome:
        self.counters.knocks += 1
        try:
            await self._knocker.knock(node, address, timeout=KNOCK_TIMEOUT)
        except (DialError, HandshakeError):
            return "refused"
        except TimeoutError:
            return "silent"
        self.counters.reached += 1
        return "reached"
