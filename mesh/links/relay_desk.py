"""A relay's side: who may be reached through it, and the circuits it splices.

A circuit needs two pipes: one of who asked, one of the node that is reached. Each brings a token of
its own. The relay sees who talks to whom, how much and when, and never what.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from mesh.clock import Clock
from mesh.errors import LinkError, WireError
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.links.fair_share import RATE, FairShare
from mesh.links.link import MeshLink
from mesh.links.pipe import Pipe
from mesh.links.rendezvous import Rendezvous
from mesh.links.splice import Splice
from mesh.ports import StreamKind
from mesh.wire import relay as wire

log = logging.getLogger(__name__)

MAX_CIRCUITS = 1_024
"""Circuits at once, those that are being made included; one costs two file descriptors."""
MAX_CIRCUITS_NODE = 64
"""Of these asked for by one node."""
MAX_CIRCUITS_SOURCE = 128
"""And by all nodes of one host: those behind one address share it."""
MAX_RESERVATIONS = 4_096
INCOMING_SECONDS = 4.0
"""For the reached node to say that its pipe is on its way."""


@dataclass(slots=True)
class _Circuit:
    """One pair of pipes, whole or not."""

    origin: NodeId
    source: str
    target: NodeId
    tokens: list[bytes] = field(default_factory=list)
    first: tuple[Pipe, bytes, bool] | None = None
    """The pipe that came first, what it brought, and whether it is the origin's."""
    splice: Splice | None = None


@dataclass(slots=True)
class RelayCounters:
    """What this node has relayed since it started."""

    circuits: int = 0
    refused: int = 0
    bytes: int = 0


class RelayDesk:
    """Answers requests of linked nodes. Call `link_changed` for links that come and go."""

    def __init__(
        self, rendezvous: Rendezvous, *, clock: Clock, tasks: Tasks, rate: float = RATE
    ) -> None:
        self._rendezvous = rendezvous
        self._clock = clock
        self._tasks = tasks
        self._shares = FairShare(rate)
        self._reserved: dict[NodeId, MeshLink] = {}
        self._circuits: dict[int, _Circuit] = {}
        self._asked: Counter[str] = Counter()
        self.counters = RelayCounters()

    @property
    def circuits(self) -> int:
        """Circuits that are being made or spliced now."""
        return len(self._circuits)

    @property
    def reservations(self) -> int:
        """Nodes that can be reached through this one now."""
        return len(self._reserved)

    @property
    def reserved(self) -> Collection[NodeId]:
        """Which these are: their links are needed, however idle."""
        return self._reserved.keys()

    def answer(self, link: MeshLink, request: wire.Reserve | wire.Connect) -> wire.Answer:
        """What a linked node gets."""
        if isinstance(request, wire.Reserve):
            return self._reserve(link)
        refusal = self._refusal(link, request.node)
        if refusal:
            self.counters.refused += 1
            return wire.Refused(refusal)
        return wire.Circuit(self._begin(link, self._reserved[request.node]))

    def link_changed(self, link: MeshLink, up: bool) -> None:
        """A reservation lasts as long as its link; a newer link to the node takes it over."""
        if link.peer not in self._reserved:
            return
        if up:
            self._reserved[link.peer] = link
        elif self._reserved[link.peer] is link:
            del self._reserved[link.peer]

    def close(self) -> None:
        """Cut all circuits."""
        for circuit in list(self._circuits.values()):
            self._drop(circuit)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def _reserve(self, link: MeshLink) -> wire.Answer:
        if link.peer not in self._reserved and len(self._reserved) >= MAX_RESERVATIONS:
            return wire.Refused("this relay has all the nodes it can serve")
        self._reserved[link.peer] = link
        return wire.Reserved(len(self._circuits))

    def _refusal(self, link: MeshLink, target: NodeId) -> str:
        """Why no circuit is made; "" when one is."""
        if target not in self._reserved or self._reserved[target].closed:
            return "that node is not reached through this relay"
        if len(self._circuits) >= MAX_CIRCUITS or self._rendezvous.full:
            return "this relay has all the circuits it can carry"
        if self._asked[link.peer] >= MAX_CIRCUITS_NODE:
            return f"a node may have {MAX_CIRCUITS_NODE} circuits here"
        if self._asked[link.source] >= MAX_CIRCUITS_SOURCE:
            return f"all nodes of one host may have {MAX_CIRCUITS_SOURCE} circuits here"
        return ""

    def _begin(self, link: MeshLink, target: MeshLink) -> bytes:
        circuit = _Circuit(link.peer, link.source, target.peer)
        self._circuits[id(circuit)] = circuit
        for counted in (circuit.origin, circuit.source):
            self._asked[counted] += 1
        for from_origin in (True, False):
            circuit.tokens.append(
                self._rendezvous.expect(
                    lambda pipe, rest, origin=from_origin: self._arrived(  # type: ignore[misc]
                        circuit, pipe, rest, origin
                    ),
                    lambda: self._drop(circuit),
                )
            )
        mine, theirs = circuit.tokens
        incoming = wire.Incoming(theirs, link.peer)
        self._tasks.spawn(self._announce(circuit, target, incoming), "circuit")
        return mine

    async def _announce(self, circuit: _Circuit, target: MeshLink, incoming: wire.Incoming) -> None:
        try:
            answer = wire.decode_answer(
                await target.call(
                    StreamKind.RELAY, wire.encode_request(incoming), timeout=INCOMING_SECONDS
                )
            )
        except (LinkError, WireError, TimeoutError) as error:
            log.debug("circuit fails target=%s cause=%s", target.peer, error)
            if circuit.splice is None:  # else the pipe came although the answer got lost
                self._drop(circuit)
            return
        if not isinstance(answer, wire.Accepted):
            self._drop(circuit)

    def _arrived(self, circuit: _Circuit, pipe: Pipe, rest: bytes, from_origin: bool) -> None:
        if circuit.first is None:
            circuit.first = (pipe, rest, from_origin)
            pipe.attach(_Waiting(self, circuit, pipe))
            pipe.pause_reading()
            return
        first, early, first_is_origin = circuit.first
        left, right = (first, pipe) if first_is_origin else (pipe, first)
        sent = (early, rest) if first_is_origin else (rest, early)
        clock, shares, source = self._clock, self._shares, circuit.source
        circuit.splice = Splice(
            left,
            right,
            toll=lambda size: shares.take(source, size, clock.now()),
            ended=lambda size: self._ended(circuit, size),
        )
        self.counters.circuits += 1
        circuit.splice.start(*sent)
        first.resume_reading()

    def _ended(self, circuit: _Circuit, size: int) -> None:
        self.counters.bytes += size
        self._forget(circuit)

    def _drop(self, circuit: _Circuit) -> None:
        """Give a circuit up, whole or not."""
        if id(circuit) not in self._circuits:
            return
        if circuit.splice is not None:
            circuit.splice.cut()
            return
        for token in circuit.tokens:
            self._rendezvous.forget(token)
        if circuit.first is not None:
            circuit.first[0].abort()
        self._forget(circuit)

    def _forget(self, circuit: _Circuit) -> None:
        if self._circuits.pop(id(circuit), None) is None:
            return
        for counted in (circuit.origin, circuit.source):
            self._asked[counted] -= 1
            if not self._asked[counted]:
                del self._asked[counted]


class _Waiting:
    """Receives from the pipe that came first until the other comes."""

    def __init__(self, desk: RelayDesk, circuit: _Circuit, pipe: Pipe) -> None:
        self._desk = desk
        self._circuit = circuit
        self._pipe = pipe

    def data_received(self, data: bytes) -> None:
        """Read just before reading was paused: kept for the other end."""
        assert self._circuit.first is not None
        pipe, early, from_origin = self._circuit.first
        self._circuit.first = (pipe, early + data, from_origin)

    def pipe_lost(self, reason: str) -> None:
        if self._circuit.splice is None:
            self._desk._drop(self._circuit)

    def pause_writing(self) -> None:
        """Nothing is written yet."""

    def resume_writing(self) -> None:
        """Nothing is written yet."""
