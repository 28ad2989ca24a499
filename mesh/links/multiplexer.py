"""Many streams in one byte pipe: the sans-I/O core of a link.

Bytes in, events out; calls in, bytes out. `now` is seconds of a monotonic clock.
The core never waits: whoever sends asks `has_room` first, whoever reads calls `take`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from mesh.errors import StreamReset, WireError
from mesh.links.stream_state import StreamState
from mesh.links.write_queue import WriteQueue
from mesh.ports import Priority
from mesh.wire.frames import (
    CREDIT,
    DATA,
    GOAWAY,
    INITIAL_CREDIT,
    MAX_CONTROL,
    MAX_MESSAGE,
    MAX_REASON,
    MAX_STREAM_ID,
    MAX_STREAMS,
    MAX_UNREAD,
    MAX_UNSENT,
    NOTICE,
    OPEN,
    PING,
    PONG,
    RESET,
    FrameDecoder,
    ResetCode,
    cut_reason,
    encode_frame,
)

_RTT_GAIN = 0.125
"""Weight of a new round-trip sample (RFC 6298, 2.3)."""


class StreamOpened(NamedTuple):
    """The peer opened a stream."""

    stream: StreamState


class StreamMoved(NamedTuple):
    """A stream has a message to take, or its end or failure to be seen."""

    stream: StreamState


class GoneAway(NamedTuple):
    """The peer opens no more streams; some codes mean that it has closed already."""

    code: int
    reason: str


class Noticed(NamedTuple):
    """The peer has something to tell this node's owner."""

    code: int
    text: str


Event = StreamOpened | StreamMoved | GoneAway | Noticed


class Multiplexer:
    """State of one link above encryption. Raises WireError from `receive`; then only drop it."""

    def __init__(self, *, dialler: bool, decoder: FrameDecoder | None = None) -> None:
        self.streams: dict[int, StreamState] = {}
        self.rtt: float | None = None
        self.frames_in = 0
        self.sent_goaway = False
        self.got_goaway = False
        self._decoder = decoder or FrameDecoder()
        self._queue = WriteQueue()
        self._next_id = 1 if dialler else 2
        self._parity = self._next_id % 2
        self._last_peer_id = -1
        self._own_open = self._peer_open = 0
        self._unread = 0
        self._ping_token = 0
        self._ping_sent: float | None = None
        self._pong_due: int | None = None

    # ── calls of this side ──────────────────────────────────────────────────────────────────────

    def open(self, kind: int, priority: Priority) -> StreamState:
        """A new stream. Raises StreamReset while too many are open or the peer does not read."""
        if self._own_open >= MAX_STREAMS:
            raise StreamReset(ResetCode.REFUSED, f"{MAX_STREAMS} streams are open on the link")
        if self._queue.control_size > MAX_CONTROL // 2:
            raise StreamReset(ResetCode.REFUSED, "the peer does not read what it is sent")
        stream = StreamState(self._next_id, kind, priority)
        self._next_id += 2
        self._own_open += 1
        self.streams[stream.id] = stream
        self._queue.push_control(encode_frame(OPEN, stream.id, kind, int(priority)))
        return stream

    def has_room(self, stream: StreamState) -> bool:
        """False while the sender should wait, because the peer or the pipe is slow."""
        return stream.has_room and (stream.unsent == 0 or self._queue.unsent < MAX_UNSENT)

    def send(self, stream: StreamState, message: bytes) -> None:
        """Queue one message. Raises WireError when it is larger than MAX_MESSAGE."""
        if len(message) > MAX_MESSAGE:
            raise WireError(f"a message of {len(message)} bytes is larger than {MAX_MESSAGE}")
        stream.outbox.append(message)
        stream.unsent += len(message)
        self._queue.unsent += len(message)
        self._queue.push_stream(stream)

    def finish(self, stream: StreamState) -> None:
        """No more messages from this side. Harmless when repeated."""
        if not stream.finishing and stream.failure is None:
            stream.finishing = True
            self._queue.push_stream(stream)

    def reset(self, stream: StreamState, code: int, reason: str) -> None:
        """End both directions now. Harmless on a stream that is over."""
        if stream.over:
            return
        reason = cut_reason(reason)
        self._queue.push_control(encode_frame(RESET, stream.id, code, reason))
        self._fail(stream, code, reason)

    def take(self, stream: StreamState) -> bytes | None:
        """The stream's next message, None when there is none yet."""
        message = stream.take()
        if message is not None:
            if stream.id in self.streams:
                self._unread -= len(message)
            if stream.grant_due:
                self._queue.push_grant(stream)
        return message

    def ping(self, now: float) -> None:
        """Ask for a sign of life, unless an answer is already due."""
        if self._ping_sent is None:
            self._ping_token += 1
            self._ping_sent = now
            self._queue.push_control(encode_frame(PING, self._ping_token))

    @property
    def ping_sent(self) -> float | None:
        """When the ping that is still unanswered was sent."""
        return self._ping_sent

    def go_away(self, code: int, reason: str) -> None:
        """Promise to open no more streams on this link."""
        self.sent_goaway = True
        self._queue.push_control(encode_frame(GOAWAY, code, cut_reason(reason)))

    def notice(self, code: int, text: str) -> None:
        """Tell the peer's owner something; the link goes on."""
        self._queue.push_control(encode_frame(NOTICE, code, cut_reason(text)))

    @property
    def drained(self) -> bool:
        """Both sides have promised to open no more streams, and none is left."""
        return self.sent_goaway and self.got_goaway and not self.streams

    @property
    def unread(self) -> int:
        """Bytes held for readers, all streams together."""
        return self._unread

    @property
    def unsent(self) -> int:
        """Bytes of messages queued, all streams together."""
        return self._queue.unsent

    @property
    def frames_out(self) -> int:
        return self._queue.frames_out

    # ── bytes out ───────────────────────────────────────────────────────────────────────────────

    @property
    def has_data(self) -> bool:
        """Something can leave now."""
        return self._pong_due is not None or bool(self._queue)

    def data_to_send(self, limit: int) -> tuple[bytes, list[StreamState]]:
        """About `limit` bytes, most urgent first, and the streams that moved (perhaps ended)."""
        if self._pong_due is not None:
            self._queue.push_control(encode_frame(PONG, self._pong_due))
            self._pong_due = None
        data, moved = self._queue.collect(limit)
        for stream in moved:
            if stream.over:
                self._forget(stream)
        return data, moved

    # ── bytes in ────────────────────────────────────────────────────────────────────────────────

    def receive(self, data: bytes, now: float) -> list[Event]:
        """What these bytes mean. Raises WireError when they break the protocol."""
        return self.receive_frames(self._decoder.feed(data), now)

    def receive_frames(self, frames: list[list[Any]], now: float) -> list[Event]:
        """The same for frames that were cut already (those behind the handshake's)."""
        self.frames_in += len(frames)
        events: list[Event] = []
        for frame in frames:
            handler = _HANDLERS.get(frame[0])
            if handler is None:
                continue  # a frame of a newer protocol
            try:
                event = handler(self, frame, now)
            except (ValueError, TypeError):
                raise WireError(f"a malformed frame of type {frame[0]}") from None
            if event is not None:
                events.append(event)
        if self._queue.control_size > MAX_CONTROL:
            raise WireError("the peer makes this node answer and does not read the answers")
        return events

    def _on_data(self, frame: list[Any], now: float) -> Event | None:
        _, stream_id, flags, fragment = frame[:4]
        stream = self.streams.get(stream_id)
        if stream is None:
            self._check_known(stream_id)
            return None  # crossed with our reset
        if type(flags) is not int or type(fragment) is not bytes:
            raise ValueError
        before = stream.unread
        complete = stream.accept(flags, fragment)
        self._unread += stream.unread - before
        if stream.grant_due:
            self._queue.push_grant(stream)
        if stream.over:
            self._forget(stream)
        if self._unread > MAX_UNREAD:
            return self._shed()
        return StreamMoved(stream) if complete or stream.fin_received else None

    def _on_open(self, frame: list[Any], now: float) -> Event | None:
        _, stream_id, kind, priority = frame[:4]
        if not (_is_id(stream_id) and _is_small(kind) and _is_small(priority)):
            raise ValueError
        if stream_id % 2 == self._parity or stream_id <= self._last_peer_id:
            raise WireError("the peer opened a stream with a number it may not use")
        self._last_peer_id = stream_id
        if self._peer_open >= MAX_STREAMS:
            self._queue.push_control(
                encode_frame(RESET, stream_id, int(ResetCode.REFUSED), "too many streams are open")
            )
            return None
        # An unknown class of a newer node goes last.
        stream = StreamState(stream_id, kind, min(priority, Priority.BULK))
        self._peer_open += 1
        self.streams[stream_id] = stream
        return StreamOpened(stream)

    def _on_credit(self, frame: list[Any], now: float) -> Event | None:
        _, stream_id, amount = frame[:3]
        stream = self.streams.get(stream_id)
        if stream is None:
            self._check_known(stream_id)
            return None
        if type(amount) is not int or amount < 0:
            raise ValueError
        stream.send_credit += amount
        if stream.send_credit > INITIAL_CREDIT:
            raise WireError("the peer gave back more credit than was used")
        self._queue.push_stream(stream)
        return None

    def _on_reset(self, frame: list[Any], now: float) -> Event | None:
        _, stream_id, code, reason = frame[:4]
        stream = self.streams.get(stream_id)
        if stream is None:
            self._check_known(stream_id)
            return None
        if not _is_small(code) or type(reason) is not str:
            raise ValueError
        self._fail(stream, code, reason[:MAX_REASON])
        return StreamMoved(stream)

    def _on_ping(self, frame: list[Any], now: float) -> Event | None:
        if not _is_id(frame[1]):
            raise ValueError
        self._pong_due = frame[1]  # only the latest is answered: a flood costs one number
        return None

    def _on_pong(self, frame: list[Any], now: float) -> Event | None:
        if self._ping_sent is not None and frame[1] == self._ping_token:
            sample = max(0.0, now - self._ping_sent)
            self._ping_sent = None
            self.rtt = sample if self.rtt is None else self.rtt + _RTT_GAIN * (sample - self.rtt)
        return None

    def _on_goaway(self, frame: list[Any], now: float) -> Event | None:
        code, reason = _code_and_text(frame)
        self.got_goaway = True
        return GoneAway(code, reason)

    def _on_notice(self, frame: list[Any], now: float) -> Event | None:
        return Noticed(*_code_and_text(frame))

    def _check_known(self, stream_id: Any) -> None:
        """Frames for streams that are over are normal; for ones that never were, an error."""
        if not _is_id(stream_id):
            raise ValueError
        own = stream_id % 2 == self._parity
        if stream_id > (self._next_id - 2 if own else self._last_peer_id):
            raise WireError("a frame names a stream that was never opened")

    def _shed(self) -> Event:
        fullest = max(self.streams.values(), key=lambda stream: stream.unread)
        self.reset(fullest, ResetCode.OVERFLOW, "too much lies unread on the link")
        return StreamMoved(fullest)

    def _fail(self, stream: StreamState, code: int, reason: str) -> None:
        self._queue.forget(stream)
        self._forget(stream)
        stream.fail(code, reason)

    def _forget(self, stream: StreamState) -> None:
        if self.streams.pop(stream.id, None) is None:
            return
        self._unread -= stream.unread
        if stream.id % 2 == self._parity:
            self._own_open -= 1
        else:
            self._peer_open -= 1


_HANDLERS: dict[int, Callable[[Multiplexer, list[Any], float], Event | None]] = {
    OPEN: Multiplexer._on_open,
    DATA: Multiplexer._on_data,
    CREDIT: Multiplexer._on_credit,
    RESET: Multiplexer._on_reset,
    PING: Multiplexer._on_ping,
    PONG: Multiplexer._on_pong,
    GOAWAY: Multiplexer._on_goaway,
    NOTICE: Multiplexer._on_notice,
}


def _is_id(value: Any) -> bool:
    return type(value) is int and 0 < value < MAX_STREAM_ID


def _is_small(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**16


def _code_and_text(frame: list[Any]) -> tuple[int, str]:
    _, code, text = frame[:3]
    if not _is_small(code) or type(text) is not str:
        raise ValueError
    return code, text[:MAX_REASON]
