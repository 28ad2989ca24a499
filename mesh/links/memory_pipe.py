"""A pipe inside one process, with latency, loss and partition taken from the network it is in."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from mesh.ids import NodeId
from mesh.links.pipe import PIPE_HIGH_WATER, PIPE_LOW_WATER, PipeReceiver

_END = b""


class Weather(Protocol):
    """What bytes meet on their way."""

    def delay(self) -> float:
        """Seconds the next write travels."""
        ...

    def blocked(self, source: NodeId, target: NodeId) -> bool:
        """True while nothing gets through."""
        ...


class MemoryPipe:
    """One end; implements `mesh.links.pipe.Pipe`. Bytes stay in order."""

    def __init__(self, weather: Weather, own: NodeId, other: NodeId) -> None:
        self._weather = weather
        self._own = own
        self._other = other
        self._peer: MemoryPipe | None = None
        self._receiver: PipeReceiver | None = None
        self._loop = asyncio.get_running_loop()
        self._travelling: deque[tuple[float, bytes]] = deque()
        self._in_flight = 0
        self._timer: asyncio.Handle | None = None
        self._writing_paused = False
        self._reading_paused = False
        self._closed = False

    def join(self, peer: MemoryPipe) -> None:
        """Connect both ends."""
        self._peer, peer._peer = peer, self

    @property
    def remote(self) -> str:
        return f"tcp://{self._other}.memory:1"

    @property
    def source(self) -> str:
        return self._other

    def attach(self, receiver: PipeReceiver) -> None:
        self._receiver = receiver

    def write(self, data: bytes) -> None:
        if not data or self._closed:
            return
        self._travel(data)
        if self._in_flight > PIPE_HIGH_WATER and not self._writing_paused and self._receiver:
            self._writing_paused = True
            self._receiver.pause_writing()

    def pause_reading(self) -> None:
        self._reading_paused = True

    def resume_reading(self) -> None:
        self._reading_paused = False
        if self._peer is not None:
            self._peer.poke()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._travel(_END)
            self._loop.call_soon(self._lose, "closed here")

    def abort(self) -> None:
        if not self._closed:  # a second abort must not take back the news of the first
            self._travelling.clear()
        self.close()

    def poke(self) -> None:
        """Whatever held the bytes back may be over."""
        if self._timer is None and self._travelling:
            self._schedule()

    def _travel(self, data: bytes) -> None:
        due = self._loop.time() + self._weather.delay()
        if self._travelling:
            due = max(due, self._travelling[-1][0])
        self._travelling.append((due, data))
        self._in_flight += len(data)
        self.poke()

    def _schedule(self) -> None:
        wait = self._travelling[0][0] - self._loop.time()
        if wait > 0:
            self._timer = self._loop.call_later(wait, self._arrive)
        else:
            self._timer = self._loop.call_soon(self._arrive)

    def _arrive(self) -> None:
        self._timer = None
        peer = self._peer
        if peer is None or self._weather.blocked(self._own, self._other) or peer._reading_paused:
            return
        now = self._loop.time()
        while self._travelling and self._travelling[0][0] <= now:
            _, data = self._travelling.popleft()
            self._in_flight -= len(data)
            peer._receive(data)
        self.poke()
        if self._writing_paused and self._in_flight < PIPE_LOW_WATER and self._receiver:
            self._writing_paused = False
            self._receiver.resume_writing()

    def _receive(self, data: bytes) -> None:
        if data is _END:
            self._closed = True
            self._lose("the other end closed")
        elif self._receiver is not None:
            self._receiver.data_received(data)

    def _lose(self, reason: str) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.pipe_lost(reason)
