"""One kept-alive HTTP/1.1 connection to an engine: httptools under an asyncio.Protocol.

Only what engine calls need: one exchange at a time, no pipelining, no redirects, no upgrades
(RFC 9112). Bytes that nobody reads stop the transport, so a slow reader slows the engine.

    idle --send--> head --headers complete--> body --message complete--> idle | closed
"""

from __future__ import annotations

import asyncio
import math
import socket
from collections import deque
from collections.abc import Callable
from typing import cast

import httptools

from mesh.errors import EngineError, EngineUnavailable

MAX_BUFFERED = 64 * 1024
"""Body bytes held unread before the transport is paused; one read of it may come on top."""
READ_SIZE = 64 * 1024
"""Bytes taken from a socket at once, into a buffer that all connections of a client share: asyncio
reads and hands over in one step. A Protocol would get a new 256 KiB buffer for every read."""
MAX_FRUITLESS = 64 * 1024
"""Bytes in a row that yield no header end, body or message end: bounds heads and trailers."""
MAX_HEADERS = 128
RECEIVE_BUFFER = 64 * 1024
"""SO_RCVBUF: without it Linux takes up to 6 MiB, some 30,000 tokens, from an engine unread."""
LINGER_SECONDS = 1.0
LINGER_BYTES = 4096
"""What the end of an answer may still take after its last word, for the connection to be kept."""


class StaleConnection(Exception):
    """A kept-alive connection was gone before the engine answered a byte; try a fresh one."""


class Connection(asyncio.BufferedProtocol):
    """Owned by its client; `released` is called when it may serve the next exchange."""

    def __init__(
        self, origin: str, buffer: bytearray, released: Callable[[Connection], None]
    ) -> None:
        self.origin = origin
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.complete = True
        self.idle_since = 0.0
        self.exchanges = 0
        self._released = released
        self._view = memoryview(buffer)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._limit = MAX_BUFFERED
        self._paused = False
        self._head_done = False
        self._framed = False
        self._received = False
        self._fruitless = 0
        self._fruitful = False
        self._lingering = -1
        self._reusable = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._whole = False
        self._deadline = math.inf
        self._timer: asyncio.TimerHandle | None = None

    @property
    def open(self) -> bool:
        """True while another exchange may start here."""
        return self._error is None and self._transport is not None

    def send(self, request: bytes, *, hold: int = MAX_BUFFERED, whole: bool = False) -> None:
        """Start an exchange. `whole` lets one wait cover head and body, up to `hold` bytes."""
        self.status = 0
        self.headers = {}
        self.complete = self._head_done = self._framed = self._received = False
        self._lingering = -1
        self._fruitless = 0
        self._limit = hold
        self._whole = whole
        self.exchanges += 1
        assert self._transport is not None
        self._transport.write(request)

    async def wait_head(self, seconds: float) -> None:
        """Until status and headers are there (with `whole`: the body too, or its limit).

        Raises StaleConnection, EngineUnavailable or EngineError; the connection is then closed.
        """
        while not (self.complete or (self._head_done and not self._whole)):
            self._check()
            if self._buffered > self._limit:
                return
            await self._wait(seconds)

    async def read(self, seconds: float) -> bytes:
        """Body bytes that have come, at least one; b"" at the end. Raises as `wait_head`."""
        while not self._chunks:
            if self.complete:
                self._free()
                return b""
            self._check()
            await self._wait(seconds)
        return self.take()

    def take(self) -> bytes:
        """All body bytes held now; lets the engine go on sending."""
        chunks = self._chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._drop()
        return body

    def discard(self) -> None:
        """The rest of the answer is not wanted: cancel it, or drop it when it is already here."""
        if self.complete:
            self._drop()
        else:
            self.abort()

    def abort(self, error: Exception | None = None) -> None:
        """Close at once; this is how an engine learns that its answer is no longer wanted."""
        if self._error is None:
            self._error = error or EngineUnavailable(f"{self.origin}: the call was given up")
        if self._transport is not None:
            self._transport.abort()
        self._stop_timer()
        self._wake()

    def linger(self) -> None:
        """The answer is over for the caller: keep the connection if its end comes at once."""
        if not self.complete:
            self._lingering = LINGER_BYTES
            self._arm(LINGER_SECONDS)
        self._drop()

    def _drop(self) -> None:
        """Forget the bytes held; that is the end of a complete answer."""
        self._chunks.clear()
        self._buffered = 0
        if self.complete:
            self._free()
        elif self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def _free(self) -> None:
        """Hand the connection back. Only its reader's own step may lead here: an answer that is
        complete before its reader has woken up must not make room for the next one."""
        if self._reusable:
            self._reusable = False
            self._released(self)

    async def _wait(self, seconds: float) -> None:
        self._waiter = self._loop.create_future()
        self._arm(seconds)
        try:
            await self._waiter
        except asyncio.CancelledError:
            self.abort()
            raise
        finally:
            self._waiter = None
            self._deadline = math.inf

    def _check(self) -> None:
        if self._error is None:
            return
        if not self._received and self.exchanges > 1 and isinstance(self._error, ConnectionError):
            raise StaleConnection from self._error
        if isinstance(self._error, ConnectionError):
            when = "in the middle of an answer" if self._received else "without an answer"
            raise EngineUnavailable(f"{self.origin} closed the connection {when}") from self._error
        raise self._error

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # One timer a connection, moved lazily: arming is an addition, seldom a heap operation.

    def _arm(self, seconds: float) -> None:
        self._deadline = self._loop.time() + seconds
        if self._timer is not None and self._timer.when() > self._deadline:
            self._stop_timer()
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline, self._expire)

    def _expire(self) -> None:
        self._timer = None
        if self._deadline == math.inf:
            return
        if self._loop.time() < self._deadline - 0.001:
            self._timer = self._loop.call_at(self._deadline, self._expire)
            return
        self.abort(EngineUnavailable(f"{self.origin} did not answer in time"))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        sock: socket.socket | None = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view

    def buffer_updated(self, size: int) -> None:
        if self.complete:
            self.abort(EngineError(f"{self.origin} sent bytes that belong to no answer"))
            return
        self._received = True
        self._fruitful = False
        try:
            self._parser.feed_data(self._view[:size])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.abort(EngineError(f"{self.origin} does not speak HTTP/1.1: {error}"))
            return
        self._fruitless = 0 if self._fruitful else self._fruitless + size
        if self._fruitless > MAX_FRUITLESS or len(self.headers) > MAX_HEADERS:
            self.abort(EngineError(f"{self.origin} sent headers without end"))
        elif self._buffered > self._limit and not self._paused and not self.complete:
            self._paused = True
            if self._transport is not None:
                self._transport.pause_reading()

    def eof_received(self) -> bool:
        if self._head_done and not self.complete and not self._framed:
            self._error = EngineUnavailable(f"{self.origin} closed the connection")
            self.complete = True  # RFC 9112 6.3: without a length the body ends with the connection
        elif self._error is None:
            self._error = ConnectionResetError("end of stream")  # `open` is false from now on
        return False

    def connection_lost(self, error: Exception | None) -> None:
        if self._error is None:
            self._error = ConnectionResetError(str(error or "end of stream"))
        self._transport = None
        self._stop_timer()
        self._wake()
        self._released(self)

    # httptools callbacks

    def on_message_begin(self) -> None:
        if self.complete:
            self.abort(EngineError(f"{self.origin} sent an answer to nothing"))

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_done:
            return  # a trailer; nobody asks for them
        key = name.lower()
        self.headers[key] = value
        if key in (b"content-length", b"transfer-encoding"):
            self._framed = True

    def on_headers_complete(self) -> None:
        if self.complete:
            return
        self.status = self._parser.get_status_code()
        if self.status < 200:
            return  # 100 Continue and 103 Early Hints come before the answer
        self._head_done = True
        self._fruitful = True
        if not self._whole:
            self._wake()

    def on_body(self, body: bytes) -> None:
        if self.complete:
            return
        self._fruitful = True
        if self._lingering >= 0:
            self._lingering -= len(body)
            if self._lingering < 0:
                self.abort()
            return
        self._chunks.append(body)
        self._buffered += len(body)
        if not self._whole or self._buffered > self._limit:
            self._wake()

    def on_message_complete(self) -> None:
        if self.complete:
            return
        if not self._head_done:
            self.headers = {}
            return
        self._fruitful = True
        self.complete = True
        self._deadline = math.inf
        self._wake()
        if self._error is not None or not self._parser.should_keep_alive():
            self._end()
            return
        self._reusable = True
        if self._lingering >= 0:
            self._free()

    def _end(self) -> None:
        if self._transport is not None:
            self._transport.close()
