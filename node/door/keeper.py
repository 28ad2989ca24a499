"""The public side: takes connections, reads whom they want, and joins them to the name's holder.

Nothing is decrypted here: the name stands in the clear in TLS's first message, and what follows
passes as it came. Who keeps a door sees who comes from where to which name, when and how much.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from mesh.clock import Clock
from mesh.errors import ConfigError, LinkError, WireError
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.links.fair_share import RATE, FairShare
from mesh.links.handshake_gate import HandshakeGate
from mesh.links.pipe import Pipe
from mesh.links.rendezvous import Rendezvous
from mesh.links.splice import Splice
from mesh.links.tcp import listen_tcp
from mesh.ports import Link, Links, StreamKind
from mesh.wire import door as wire
from node.door.arrival import Arrival
from node.door.names import Names
from node.door.server_name import ServerNames

log = logging.getLogger(__name__)

MAX_WAITING, MAX_WAITING_SOURCE = 1_024, 64
"""Connections that have no holder yet: at once, and of these from one host."""
MAX_OPEN, MAX_OPEN_SOURCE = 4_096, 256
"""Connections that are joined to a holder; each costs two file descriptors."""
MAX_OPEN_NAME = 1_024
"""Of these for one name."""
INCOMING_SECONDS = 4.0
"""For a holder to say that its pipe is on its way."""


@dataclass(frozen=True, slots=True)
class DoorTerms:
    """What a keeper's owner has decided."""

    host: str
    port: int
    domain: str
    """Names are LABEL.domain."""
    public_port: int | None = None
    """Where browsers reach the door; None: the port that listens."""
    rate: float = RATE
    """Bytes a second in all."""


@dataclass(slots=True)
class DoorCounters:
    """What came to the door since it opened."""

    joined: int = 0
    refused: int = 0
    """Wrong names, no TLS, too many, or a holder that did not come."""
    bytes: int = 0


class DoorKeeper:
    """Call `register` for DOOR streams. `may_hold` tells why a node gets no name, "" if it does."""

    def __init__(
        self,
        terms: DoorTerms,
        *,
        links: Links,
        rendezvous: Rendezvous,
        may_hold: Callable[[Link], str],
        source_of: Callable[[Link], str],
        clock: Clock,
        tasks: Tasks,
        inherited: socket.socket | None = None,
    ) -> None:
        self._terms = terms
        self._links = links
        self._rendezvous = rendezvous
        self._may_hold = may_hold
        self._source_of = source_of
        self._clock = clock
        self._tasks = tasks
        self._inherited = inherited
        self._hellos = ServerNames()
        self._names = Names()
        self._shares = FairShare(terms.rate)
        self._waiting = HandshakeGate(MAX_WAITING, MAX_WAITING_SOURCE)
        self._open = HandshakeGate(MAX_OPEN, MAX_OPEN_SOURCE)
        self._open_names: Counter[NodeId] = Counter()
        self._arrivals: set[Arrival] = set()
        self._splices: set[Splice] = set()
        self._server: asyncio.Server | None = None
        self.counters = DoorCounters()

    @property
    def port(self) -> int:
        """The port that listens; 0 before `start`."""
        sockets = self._server.sockets if self._server is not None else ()
        return int(sockets[0].getsockname()[1]) if sockets else 0

    @property
    def domain(self) -> str:
        """What every name here ends in."""
        return self._terms.domain

    @property
    def names(self) -> int:
        """Names that are held."""
        return len(self._names)

    @property
    def connections(self) -> int:
        """Connections that are joined to a holder now."""
        return len(self._splices)

    @property
    def waiting(self) -> int:
        """Connections that are not joined to a holder yet."""
        return len(self._arrivals)

    @property
    def descriptors(self) -> list[int]:
        """Numbers of the listening sockets."""
        sockets = self._server.sockets if self._server is not None else ()
        return [listening.fileno() for listening in sockets]

    async def start(self) -> None:
        """Listen. Raises ConfigError when the address cannot be used."""
        host, port = self._terms.host, self._terms.port
        try:
            self._server = await listen_tcp(host, port, self._arrive, listening=self._inherited)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            hint = f"{reason}; give a free port of this machine"
            raise ConfigError("door", f"{host}:{port}", hint) from None
        self._links.watch(self._link_changed)

    def close(self) -> None:
        """Let nobody in any more and cut what is joined."""
        if self._server is not None:
            self._server.close()
        for arrival in list(self._arrivals):
            self._drop(arrival)
        for splice in list(self._splices):
            splice.cut()

    def register(self, link: Link, request: wire.Register) -> wire.Answer:
        """A linked node asks for a name."""
        refusal = self._may_hold(link) or self._names.claim(
            link.peer, request.label, source=self._source_of(link), now=self._clock.now()
        )
        if refusal:
            return wire.Refused(refusal)
        self._links.pin(link.peer)
        name = f"{self._names.label(link.peer)}.{self._terms.domain}"
        return wire.Registered(name, self._terms.public_port or self.port)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def _link_changed(self, link: Link, up: bool) -> None:
        if not up and self._names.label(link.peer) and self._links.get(link.peer) is None:
            self._names.park(link.peer, self._clock.now())
            self._links.pin(link.peer, False)

    def _arrive(self, pipe: Pipe) -> None:
        if not self._waiting.enter(pipe.source):
            self.counters.refused += 1
            pipe.abort()
            return
        arrival = Arrival(pipe, self._hellos.reader(), named=self._find, ended=self._left)
        self._arrivals.add(arrival)
        arrival.start()

    def _left(self, arrival: Arrival) -> None:
        """It waits no longer: joined, refused or gone."""
        self._arrivals.discard(arrival)
        self._waiting.leave(arrival.pipe.source)
        if arrival.token:
            self._rendezvous.forget(arrival.token)

    def _find(self, arrival: Arrival, name: str) -> None:
        label, _, domain = name.partition(".")
        holder = self._names.holder(label) if domain == self._terms.domain else None
        link = None if holder is None else self._links.get(holder)
        if link is None or self._rendezvous.full:
            self.counters.refused += 1
            arrival.refuse()
            return
        arrival.token = self._rendezvous.expect(
            lambda pipe, rest: self._join(arrival, link.peer, pipe, rest),
            lambda: self._drop(arrival),
        )
        incoming = wire.Incoming(arrival.token, name, arrival.pipe.source)
        self._tasks.spawn(self._announce(arrival, link, incoming), "door")

    async def _announce(self, arrival: Arrival, link: Link, incoming: wire.Incoming) -> None:
        request = wire.encode_request(incoming)
        try:
            data = await link.call(StreamKind.DOOR, request, timeout=INCOMING_SECONDS)
            answer = wire.decode_answer(data)
        except (LinkError, WireError, TimeoutError) as error:
            log.debug("the holder did not come node=%s cause=%s", link.peer, error)
            self._drop(arrival)
            return
        if not isinstance(answer, wire.Accepted):
            self._drop(arrival)

    def _drop(self, arrival: Arrival) -> None:
        if not arrival.over:
            self.counters.refused += 1
            arrival.cut()

    def _join(self, arrival: Arrival, holder: NodeId, inside: Pipe, rest: bytes) -> None:
        """The holder's pipe has come."""
        outside = arrival.pipe
        source = outside.source
        full = self._open_names[holder] >= MAX_OPEN_NAME
        if arrival.over or full or not self._open.enter(source):
            inside.abort()
            self._drop(arrival)
            return
        self._open_names[holder] += 1
        self.counters.joined += 1

        def ended(size: int) -> None:
            self._splices.discard(splice)
            self._open.leave(source)
            self.counters.bytes += size
            self._open_names[holder] -= 1
            if not self._open_names[holder]:
                del self._open_names[holder]

        shares, clock = self._shares, self._clock
        splice = Splice(
            outside,
            inside,
            toll=lambda size: shares.take(holder, size, clock.now()),
            ended=ended,
        )
        self._splices.add(splice)
        splice.start(arrival.joined(), rest)
        outside.resume_reading()
