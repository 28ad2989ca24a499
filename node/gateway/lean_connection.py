"""One client connection, served without an HTTP framework while its requests are plain ones.

    waiting ──head complete──▶ receiving ──body complete──▶ serving ──answered──▶ waiting
       │                          │                            └──"close"──▶ closed
       │ not plain: handed over   └ refused: answer, then discard ──▶ closed
       ▼
    the full server's protocol gets the transport and every byte not yet consumed

Every state but serving has a deadline, which the port's sweep enforces by calling `check`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from mesh.lifecycle import Tasks
from node.gateway import faults
from node.gateway.application import Admitted, Application
from node.gateway.exchange import Answer, Head
from node.gateway.faults import Fault
from node.gateway.http_bytes import whole_response
from node.gateway.http_head import PlainHead, read_head
from node.gateway.lean_reply import LeanReply
from node.gateway.limits import MAX_BODY, MAX_HEAD, MAX_PIPELINED, body_deadline
from node.gateway.settings import GatewaySettings

LINGER_SECONDS = 2.0
"""After a refusal the rest of the body is read and dropped, or a reset would eat the answer."""
MAX_CORKED = 16 * 1024
"""Bytes of chunks kept back until the loop's turn ends, so that they leave in one system call."""
_HEAD_END = b"\r\n\r\n"
_UNREADABLE = Head("GET", "/", "", {}, False)
"""Stands for a request whose head never became readable."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every connection of a port shares."""

    application: Application
    settings: GatewaySettings
    tasks: Tasks
    takes: Callable[[PlainHead], bool]
    """Whether a plain request is served here rather than handed over."""
    hand_over: Callable[[LeanConnection, asyncio.Transport, bytes], None]
    """Gives the connection to the full server, with the bytes it has to see."""
    lost: Callable[[LeanConnection], None]


class LeanConnection(asyncio.Protocol):
    """The protocol of a fresh connection; also the outlet of the replies on it."""

    def __init__(self, surroundings: Surroundings, *, loopback: bool, door: str = "") -> None:
        self._around = surroundings
        self._loopback = loopback
        self._door = door
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._plain: PlainHead | None = None
        self._last_plain: PlainHead | None = None
        self._last_raw = b""
        self._corked: list[bytes] = []
        self._corked_size = 0
        self._admitted: Admitted | None = None
        self._reserved = 0
        self._task: asyncio.Task[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._receiving = False
        """A request has begun to arrive: being idle is over, being slow is not allowed."""
        self._paused = False
        self._reading_paused = False
        self._closing = False
        self._told = False
        """The handler already knows that the client is gone, and must not be cancelled again."""
        self._deadline = self._loop.time() + surroundings.settings.opening_seconds

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        self._buffer += data
        if self._task is None:
            self._advance()
        elif len(self._buffer) > MAX_PIPELINED and not self._reading_paused:
            self._reading_paused = True
            if self._transport is not None:
                self._transport.pause_reading()

    def eof_received(self) -> None:
        # A client that closes looks the same as one that only stops sending: both count as gone.
        self._cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._cancel()
        self._release()
        self._around.lost(self)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    # What the port calls.

    def check(self, now: float) -> None:
        """Enforce the deadline of the state this connection is in."""
        if self._task is not None or now < self._deadline or self._transport is None:
            return
        if self._closing:
            self._transport.abort()  # it did not take the end of its answer in time
        elif self._receiving:
            head = self._plain.head if self._plain is not None else _UNREADABLE
            self._refuse(head, faults.TOO_SLOW)
        else:
            self._close()

    def retire(self) -> None:
        """Close now when idle, else after the request being served."""
        self._closing = True
        if self._task is None:
            self._close()

    # What replies call.

    def write(self, data: bytes) -> None:
        if self._corked:
            self._corked.append(data)
            self._flush()
        elif self._transport is not None:
            self._transport.write(data)

    def write_corked(self, data: bytes) -> None:
        if not self._corked:
            self._corked_size = 0
            self._loop.call_soon(self._flush)
        self._corked.append(data)
        self._corked_size += len(data)
        if self._corked_size > MAX_CORKED:
            self._flush()

    @property
    def writable(self) -> bool:
        return self._transport is not None and not self._paused

    async def drain(self) -> None:
        if self._paused and self._transport is not None:
            await self._wait_writable()
        if self._transport is None or self._transport.is_closing():
            self._told = True
            raise ConnectionResetError("the client is gone")

    def close_after(self) -> None:
        self._closing = True

    def cut(self) -> None:
        self._told = True
        if self._transport is not None:
            self._transport.abort()

    # The state machine.

    def _advance(self) -> None:
        while self._task is None and self._transport is not None and not self._closing:
            if self._admitted is None and not self._take_head():
                return
            if self._admitted is not None and not self._take_body(self._admitted):
                return

    def _take_head(self) -> bool:
        """True once a head was consumed, admitted or refused; False when bytes are missing."""
        end = self._buffer.find(_HEAD_END)
        if end < 0 or end > MAX_HEAD:
            if len(self._buffer) > MAX_HEAD:
                self._refuse(_UNREADABLE, faults.HEAD_TOO_LARGE)
            elif self._buffer and not self._receiving:
                self._receive_within(self._around.settings.head_seconds)
            return False
        plain = self._parse(bytes(self._buffer[: end + 4]))
        if plain is None or not self._around.takes(plain):
            self._leave_to_full_server()
            return False
        del self._buffer[: end + 4]
        self._plain = plain
        self._admit(plain)
        return True

    def _parse(self, raw: bytes) -> PlainHead | None:
        # Clients that keep a connection repeat their headers byte by byte, and a head is immutable.
        if raw != self._last_raw:
            plain = read_head(raw, loopback=self._loopback, door=self._door)
            self._last_raw, self._last_plain = raw, plain
        return self._last_plain

    def _admit(self, plain: PlainHead) -> None:
        admitted = self._around.application.admit(plain.head)
        if isinstance(admitted, Answer):
            self._answer_refusal(admitted)
            return
        if plain.length > MAX_BODY:
            self._refuse(plain.head, faults.TOO_LARGE)
            return
        self._admitted = admitted
        if len(self._buffer) < plain.length:
            self._receive_within(self._around.settings.body_seconds)

    def _take_body(self, admitted: Admitted) -> bool:
        """True once the body is being served or was refused; False when bytes are missing."""
        assert self._plain is not None
        length = self._plain.length
        if not self._claim(self._plain):
            return True
        if len(self._buffer) < length:
            return False
        if length:
            admitted.incoming.body = bytes(memoryview(self._buffer)[:length])
            del self._buffer[:length]
        self._receiving = False
        reply = LeanReply(
            self,
            admitted.incoming.common,
            head_only=self._plain.head.method == "HEAD",
            close=not self._plain.keep_alive,
        )
        self._task = self._around.tasks.spawn(self._serve(admitted, reply), "request")
        return True

    def _claim(self, plain: PlainHead) -> bool:
        """Claim room for what has arrived, not for what was declared; False when refused."""
        grown = min(len(self._buffer), plain.length) - self._reserved
        if grown:
            fault = self._around.application.reserve(grown)
            if fault is not None:
                self._refuse(plain.head, fault)
                return False
            self._reserved += grown
            if self._reserved < plain.length:
                self._deadline = body_deadline(
                    self._deadline, grown, self._loop.time(), self._around.settings.body_seconds
                )
        return True

    async def _serve(self, admitted: Admitted, reply: LeanReply) -> None:
        try:
            await self._around.application.serve(admitted, reply)
        finally:
            self._task = None
            self._release()
            self._next(reply.close)

    def _next(self, close: bool) -> None:
        """After an answer: close, or serve what has arrived meanwhile."""
        if self._transport is None or self._transport.is_closing():
            return  # the client is gone, and nothing would cancel another request of its
        if close or self._closing:
            self._close()
            return
        self._deadline = self._loop.time() + self._around.settings.idle_seconds
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()
        if self._buffer:
            self._advance()

    def _receive_within(self, seconds: float) -> None:
        self._receiving = True
        self._deadline = self._loop.time() + seconds

    def _release(self) -> None:
        self._around.application.release(self._reserved)
        self._reserved = 0
        self._admitted = self._plain = None

    def _refuse(self, head: Head, fault: Fault) -> None:
        self._answer_refusal(self._around.application.refuse(head, fault))

    def _answer_refusal(self, answer: Answer) -> None:
        """Answer without serving. The connection goes on only if the body is already here."""
        plain = self._plain
        goes_on = plain is not None and plain.keep_alive and plain.length <= len(self._buffer)
        head_only = plain is not None and plain.head.method == "HEAD"
        self._release()
        self.write(whole_response(answer, [], head_only=head_only, close=not goes_on))
        if goes_on and plain is not None:
            del self._buffer[: plain.length]
            self._receiving = False
            self._deadline = self._loop.time() + self._around.settings.idle_seconds
        else:
            self._linger()

    def _linger(self) -> None:
        self._closing = True
        self._buffer.clear()
        self._deadline = self._loop.time() + LINGER_SECONDS
        if self._transport is not None and self._transport.can_write_eof():
            self._transport.write_eof()

    def _close(self) -> None:
        """Close once everything is sent; a client that does not take it is cut off by `check`."""
        self._closing = True
        self._deadline = self._loop.time() + self._around.settings.stall_seconds
        if self._transport is not None:
            self._transport.close()

    def _leave_to_full_server(self) -> None:
        transport, self._transport = self._transport, None
        assert transport is not None
        self._around.hand_over(self, transport, bytes(self._buffer))

    def _cancel(self) -> None:
        if self._task is not None and not self._told:
            self._told = True
            self._task.cancel()

    def _flush(self) -> None:
        if self._corked and self._transport is not None:
            self._transport.write(b"".join(self._corked))
        self._corked.clear()

    async def _wait_writable(self) -> None:
        self._drained = self._loop.create_future()
        try:
            async with asyncio.timeout(self._around.settings.stall_seconds):
                await self._drained
        except TimeoutError:
            self.cut()
        finally:
            self._drained = None
