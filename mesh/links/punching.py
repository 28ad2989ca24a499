"""Direct links between nodes that nobody can dial: both send to the other at once, by QUIC.

Their relay is the rendezvous: over the relayed link they tell each other where they are, and a node
with a public address, mostly the relay, has told each which outside address its UDP has. Where
routers give every destination another port, or drop UDP, there is no way through and the relayed
link stays.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from mesh.clock import Clock
from mesh.errors import DialError, LinkError, WireError
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.links.addresses import own_interfaces
from mesh.links.link import MeshLink
from mesh.links.pipe import Pipe, parse_address
from mesh.links.quic_endpoint import QuicEndpoint, is_place, open_endpoint
from mesh.links.quic_pipe import QuicPipe
from mesh.ports import Link, Stream, StreamKind
from mesh.wire import punch as wire

log = logging.getLogger(__name__)

ASK_SECONDS = 4.0
OBSERVED_FRESH = 20.0
"""Seconds for which an observed outside address is told on: routers forget one after 30."""
PUNCH_EVERY = 3.0
"""Seconds between two requests of one peer that this node follows: each makes it send packets to
places that the peer names."""
MAX_OTHERS = 4_096
"""Peers whose last request is remembered."""

Adopt = Callable[[Pipe, str, NodeId], Awaitable[MeshLink]]


@dataclass(slots=True)
class PunchCounters:
    """For metrics."""

    tried: int = 0
    through: int = 0
    observed: int = 0


class Punching:
    """Serves PUNCH streams; `punch` makes a direct link. The endpoint opens when first needed."""

    def __init__(
        self,
        *,
        find: Callable[[NodeId], MeshLink | None],
        adopt: Adopt,
        accept: Callable[[Pipe], None],
        port: Callable[[], int],
        clock: Clock,
        tasks: Tasks,
        enabled: bool = True,
    ) -> None:
        """`adopt` shakes hands as the side that dialled, `accept` as the other."""
        self._find = find
        self._adopt = adopt
        self._accept = accept
        self._port = port
        self._clock = clock
        self._tasks = tasks
        self._enabled = enabled
        self._opening = asyncio.Lock()
        self._endpoint: QuicEndpoint | None = None
        self._observed: tuple[NodeId, str, float] | None = None
        self._followed: dict[NodeId, float] = {}
        self.counters = PunchCounters()

    async def punch(self, link: MeshLink) -> MeshLink:
        """A direct link in place of a relayed one. Raises LinkError."""
        self.counters.tried += 1
        endpoint, places = await self._introduce(link)
        answer = await self._ask(link, wire.Punch(endpoint.id, places))
        if not isinstance(answer, wire.Punching):
            raise DialError(f"no hole is punched: {_reason(answer)}")
        connection, stream, place = await endpoint.dial(answer.endpoint, _usable(answer.places))
        pipe = QuicPipe(connection, stream, place, self._tasks)
        better = await self._adopt(pipe, pipe.remote, link.peer)
        self.counters.through += 1
        return better

    async def serve(self, link: Link, stream: Stream) -> None:
        """Answer one request."""
        assert isinstance(link, MeshLink)
        data = await stream.receive()
        if data is None:
            return
        try:
            answer = await self._answer(link, wire.decode_request(data))
        except (WireError, LinkError, TimeoutError) as error:
            answer = wire.Refused(str(error))
        await stream.send(wire.encode_answer(answer))
        stream.finish()

    async def close(self) -> None:
        """Release the endpoint, if it was ever opened."""
        if self._endpoint is not None:
            await self._endpoint.close()

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    async def _answer(self, link: MeshLink, request: wire.Request) -> wire.Answer:
        if isinstance(request, wire.AskObserver):
            endpoint = await self._open()
            self.counters.observed += 1
            return wire.Observer(endpoint.id, endpoint.port)
        now = self._clock.now()
        if not link.relayed or now - self._followed.get(link.peer, -PUNCH_EVERY) < PUNCH_EVERY:
            return wire.Refused("not now")
        if len(self._followed) >= MAX_OTHERS:
            self._followed.clear()
        self._followed[link.peer] = now
        endpoint, places = await self._introduce(link)
        self._tasks.spawn(self._meet(endpoint, request), "meet")
        return wire.Punching(endpoint.id, places)

    async def _meet(self, endpoint: QuicEndpoint, request: wire.Punch) -> None:
        try:
            connection, stream, place = await endpoint.meet(
                request.endpoint, _usable(request.places)
            )
        except DialError as error:
            log.debug("no hole: %s", error)
        else:
            self._accept(QuicPipe(connection, stream, place, self._tasks))

    async def _introduce(self, link: MeshLink) -> tuple[QuicEndpoint, tuple[str, ...]]:
        """The endpoint, and where it may be reached: outside first, then within the own network."""
        endpoint = await self._open()
        outside = await self._observe(endpoint, link)
        near = [
            f"[{each.ip}]:{endpoint.port}" if each.version == 6 else f"{each.ip}:{endpoint.port}"
            for each in own_interfaces()
            if not (each.ip.is_loopback or each.ip.is_link_local)
        ]
        return endpoint, tuple(dict.fromkeys([outside, *near]))[: wire.MAX_PLACES]

    async def _observe(self, endpoint: QuicEndpoint, link: MeshLink) -> str:
        relay, host = _relay_of(link)
        now = self._clock.now()
        if self._observed is not None:
            node, place, at = self._observed
            if node == relay and now - at < OBSERVED_FRESH:
                return place
        between = self._find(relay)
        if between is None:
            raise DialError("the relay of this link is not linked any more")
        answer = await self._ask(between, wire.AskObserver())
        if not isinstance(answer, wire.Observer):
            raise DialError(f"the relay does not observe UDP: {_reason(answer)}")
        place = await endpoint.observe(answer.endpoint, f"{host}:{answer.port}")
        self._observed = (relay, place, now)
        return place

    async def _open(self) -> QuicEndpoint:
        if not self._enabled:
            raise DialError("punching is switched off here")
        async with self._opening:
            if self._endpoint is None:
                self._endpoint = await open_endpoint("0.0.0.0", self._port(), self._tasks)
            return self._endpoint

    async def _ask(self, link: MeshLink, request: wire.Request) -> wire.Answer:
        try:
            data = await link.call(
                StreamKind.PUNCH, wire.encode_request(request), timeout=ASK_SECONDS
            )
            return wire.decode_answer(data)
        except (WireError, TimeoutError) as error:
            raise DialError(f"{link.peer[:8]}: {error or 'no answer'}") from None


def _relay_of(link: MeshLink) -> tuple[NodeId, str]:
    """The relay that a link passes, and its host."""
    try:
        address = parse_address(link.remote)
        relay, _, _ = address.relayed
    except ValueError:
        raise DialError("that link passes no relay") from None
    return relay, f"[{address.host}]" if ":" in address.host else address.host


def _usable(places: tuple[str, ...]) -> list[str]:
    return [place for place in places if is_place(place)]


def _reason(answer: wire.Answer) -> str:
    return answer.reason if isinstance(answer, wire.Refused) else "it answered something else"
