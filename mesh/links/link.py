"""A link as applications see it, and the shell that moves its bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from mesh.capability import Role
from mesh.clock import Clock
from mesh.errors import HandshakeError, LinkClosed, StreamReset, WireError
from mesh.ids import NodeId
from mesh.links.arbitration import LinkFacts
from mesh.links.greeting import Greeted
from mesh.links.metrics import LinkMetrics
from mesh.links.multiplexer import (
    Event,
    GoneAway,
    Multiplexer,
    Noticed,
    StreamMoved,
    StreamOpened,
)
from mesh.links.standing import Standing
from mesh.links.stream import LinkStream
from mesh.links.stream_state import StreamState
from mesh.links.vigil import Vigil
from mesh.ports import Priority, StreamKind
from mesh.wire.frames import DRAINING, GoawayCode

FLUSH_SIZE = 64 * 1024
"""Bytes encrypted and written at once; then other links and tasks get their turn."""

Cause = Literal["clean", "crash", "silence", "protocol"]


@dataclass(frozen=True, slots=True)
class End:
    """How a link ended."""

    cause: Cause
    text: str

    def error(self) -> LinkClosed:
        """A fresh exception, since each is raised in a task of its own."""
        return LinkClosed(self.text, cause=self.cause)


@dataclass(frozen=True, slots=True)
class LinkOwner:
    """What a link tells the pool."""

    opened: Callable[[MeshLink], None]
    stream_opened: Callable[[MeshLink, LinkStream], None]
    gone_away: Callable[[MeshLink, int, str], None]
    noticed: Callable[[MeshLink, int, str], None]
    closed: Callable[[MeshLink], None]
    released: Callable[[MeshLink], None]
    """The pipe is gone as well."""


class MeshLink:
    """Implements `mesh.ports.Link` and `mesh.links.pipe.PipeReceiver`."""

    def __init__(
        self,
        greeted: Greeted,
        *,
        peer: NodeId,
        facts: LinkFacts,
        standing: Standing,
        owner: LinkOwner,
        clock: Clock,
        metrics: LinkMetrics,
        dialled_address: str | None,
    ) -> None:
        self.hello = greeted.hello
        self.facts = facts
        self.standing = standing
        self.vigil = Vigil()
        self.ended: End | None = None
        self.successor: MeshLink | None = None
        """The link that replaced this one; new streams go there."""
        self.handlers = 0
        """Handlers that run for streams of the peer."""
        self.noticed: set[int] = set()
        """Known codes of notices that were logged already."""
        self.dialled_address = dialled_address
        """The address by which this side reached the peer; None when the peer dialled."""
        self.multiplexer = Multiplexer(dialler=dialled_address is not None, decoder=greeted.decoder)
        self.last_used = clock.now()
        self.confirmed_at = self.last_used if dialled_address is not None else None
        """When this side knew that the peer, too, has the link."""
        self.applying = greeted.own.applies or (dialled_address is None and self.hello.applies)
        """The dialler asks to be admitted: only ADMISSION streams, nobody else uses the link."""
        self._peer = peer
        self._pipe = greeted.pipe
        self._tls = greeted.tls
        self._owner = owner
        self._clock = clock
        self._metrics = metrics
        self._streams: dict[int, LinkStream] = {}
        self._flush_due = False
        self._paused = False
        self._loop = asyncio.get_running_loop()

    # ── mesh.ports.Link ─────────────────────────────────────────────────────────────────────────

    @property
    def peer(self) -> NodeId:
        return self._peer

    @property
    def roles(self) -> tuple[Role, ...]:
        return self.standing.roles

    @property
    def rtt(self) -> float | None:
        return self.multiplexer.rtt

    @property
    def closed(self) -> bool:
        return self.ended is not None

    @property
    def remote(self) -> str:
        """Where the other end's bytes come from, as a URL."""
        return self._pipe.remote

    @property
    def source(self) -> str:
        """The host that the other end's bytes come from, for counting."""
        return self._pipe.source

    @property
    def relayed(self) -> bool:
        """Whether the bytes pass a relay."""
        return self.facts.relayed

    def open(self, kind: StreamKind, *, priority: Priority = Priority.CHUNK) -> LinkStream:
        """Start a stream. Raises LinkClosed, or StreamReset when too many are open."""
        if self.successor is not None:
            return self.successor.open(kind, priority=priority)
        if self.ended is not None:
            raise self.ended.error()
        if self.applying and kind != StreamKind.ADMISSION:
            raise LinkClosed("the link is for admission only")
        if self.multiplexer.sent_goaway:
            raise LinkClosed("the link is about to end and takes no new streams")
        state = self.multiplexer.open(kind, priority)
        stream = LinkStream(self, state)
        self._streams[state.id] = stream
        self._metrics.streams_out += 1
        self.schedule_flush()
        return stream

    async def call(self, kind: StreamKind, request: bytes, *, timeout: float) -> bytes:
        """One request, one answer. Raises LinkError or TimeoutError."""
        stream = self.open(kind, priority=Priority.CONTROL)
        try:
            async with asyncio.timeout(timeout):
                await stream.send(request)
                stream.finish()
                answer = await stream.receive()
        except BaseException:
            stream.reset()
            raise
        if answer is None:
            raise StreamReset(0, "the peer ended the stream without an answer")
        stream.abandon()
        return answer

    # ── mesh.links.pipe.PipeReceiver ────────────────────────────────────────────────────────────

    def data_received(self, data: bytes) -> None:
        if self.ended is not None:
            return
        self.vigil.heard = True
        if self.confirmed_at is None:
            self.confirmed_at = self._clock.now()
        self._metrics.bytes_in += len(data)
        try:
            plaintext = self._tls.receive(data)
            before = self.multiplexer.frames_in
            events = self.multiplexer.receive(plaintext, self._clock.now())
        except (WireError, HandshakeError) as error:
            self.fail(str(error))
            return
        self._metrics.frames_in += self.multiplexer.frames_in - before
        self.handle_events(events)
        self._after_receiving()

    def pipe_lost(self, reason: str) -> None:
        self._end("crash", f"the link to {self._peer[:8]} broke: {reason}")
        self._owner.released(self)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self.schedule_flush()

    # ── for the pool and the streams ────────────────────────────────────────────────────────────

    def start(self, frames: list[list[Any]]) -> None:
        """Take over the pipe; `frames` came behind the handshake in the same bytes."""
        self._owner.opened(self)
        self._pipe.attach(self)
        self.multiplexer.ping(self._clock.now())
        try:
            events = self.multiplexer.receive_frames(frames, self._clock.now())
        except WireError as error:
            self.fail(str(error))
            return
        self.handle_events(events)
        self.schedule_flush()

    def handle_events(self, events: list[Event]) -> None:
        """Wake whom the events concern."""
        for event in events:
            match event:
                case StreamMoved(state):
                    stream = self._streams.get(state.id)
                    if stream is not None:
                        self._moved(stream, state)
                case StreamOpened(state):
                    self._opened(state)
                case GoneAway(code, reason):
                    self._gone_away(code, reason)
                case Noticed(code, text):
                    self._owner.noticed(self, code, text)

    def schedule_flush(self) -> None:
        """Write what is queued once this turn of the event loop is over."""
        if not self._flush_due and not self._paused and self.ended is None:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def ping(self) -> None:
        """Ask for a sign of life."""
        self._metrics.pings += 1
        self.multiplexer.ping(self._clock.now())
        self.schedule_flush()

    def notice(self, code: int, text: str) -> None:
        """Tell the peer's owner something."""
        self.multiplexer.notice(code, text)
        self.schedule_flush()

    def drain(self, code: GoawayCode, reason: str) -> None:
        """Take no new streams; the link ends when the open ones have."""
        if self.ended is None and not self.multiplexer.sent_goaway:
            self.multiplexer.go_away(code, reason)
            self.schedule_flush()

    def close(self, code: GoawayCode, reason: str, cause: Cause = "clean") -> None:
        """Say why, say goodbye, end. What is queued is still written, as far as the pipe takes."""
        if self.ended is not None:
            return
        self.multiplexer.go_away(code, reason)
        data, _ = self.multiplexer.data_to_send(FLUSH_SIZE)
        self._write(data)
        self._pipe.write(self._tls.goodbye())
        self._pipe.close()
        self._end(cause, f"the link to {self._peer[:8]} was closed: {reason}")

    def fail(self, reason: str) -> None:
        """The peer broke the protocol."""
        self.close(GoawayCode.PROTOCOL, reason, "protocol")

    def give_up(self) -> None:
        """The peer is silent: no use in saying goodbye."""
        self._pipe.abort()
        self._end("silence", f"{self._peer[:8]} has been silent for too long")

    def cut(self) -> None:
        """End the pipe at once, whatever is still queued."""
        self._pipe.abort()

    @property
    def idle(self) -> bool:
        """No stream is open."""
        return not self.multiplexer.streams

    def reset_stream(self, stream: LinkStream, code: int, reason: str) -> None:
        """End both sides of a stream now."""
        self.multiplexer.reset(stream.state, code, reason)
        self._stream_over(stream.state)
        stream.wake()
        self.schedule_flush()

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def _opened(self, state: StreamState) -> None:
        stream = LinkStream(self, state)
        self._streams[state.id] = stream
        self._metrics.streams_in += 1
        self._owner.stream_opened(self, stream)

    def _moved(self, stream: LinkStream, state: StreamState) -> None:
        if state.failure is not None:
            stream.fail()
        else:
            stream.wake_reader()
        if state.over:
            self._stream_over(state)

    def _stream_over(self, state: StreamState) -> None:
        self._streams.pop(state.id, None)
        self.last_used = self._clock.now()

    def _gone_away(self, code: int, reason: str) -> None:
        self._owner.gone_away(self, code, reason)
        if code not in DRAINING:
            self._part(f"{self._peer[:8]} ended the link: {reason}")

    def _part(self, text: str) -> None:
        """Answer the peer's goodbye."""
        self._pipe.write(self._tls.goodbye())
        self._pipe.close()
        self._end("clean", text)

    def _after_receiving(self) -> None:
        if self._tls.ended and self.ended is None:
            self._part(f"{self._peer[:8]} closed the link")
        elif self.multiplexer.has_data or self.multiplexer.drained:
            self.schedule_flush()

    def _flush(self) -> None:
        self._flush_due = False
        if self._paused or self.ended is not None:
            return
        data, moved = self.multiplexer.data_to_send(FLUSH_SIZE)
        self._write(data)
        for state in moved:
            if state.wants_room and self.multiplexer.has_room(state):
                self._streams[state.id].wake_senders()
            if state.over:
                self._stream_over(state)
        if self.multiplexer.has_data:
            self.schedule_flush()
        elif self.multiplexer.drained:
            self.close(GoawayCode.CLOSING, "no longer needed")

    def _write(self, data: bytes) -> None:
        if data:
            sealed = self._tls.write(data)
            self._metrics.bytes_out += len(sealed)
            self._pipe.write(sealed)

    def _end(self, cause: Cause, text: str) -> None:
        if self.ended is not None:
            return
        self.ended = End(cause, text)
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.fail()
        self._owner.closed(self)
