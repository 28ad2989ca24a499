"""TLS on a pipe, as the server: to whoever speaks HTTP behind it, an ordinary asyncio transport.

    shaking ──handshake done: `opened`──▶ open ──close()──▶ closing ──client is gone──▶ over
       └──too slow, no TLS──▶ over           └──abort(), pipe lost──▶ over

A closing transport has said close_notify and waits for the client to go: a pipe through a door is
two connections, and cutting this one would cut off what is still queued in the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any

from mesh.links.pipe import Pipe

HANDSHAKE_SECONDS = 8.0
"""For the client's side of the TLS handshake, through the door and back."""
LINGER_SECONDS = 30.0
"""For the client to take the end of an answer after close_notify."""
_READ = 64 * 1024


class TlsTransport(asyncio.Transport):
    """Implements mesh.links.pipe.PipeReceiver; owns the pipe."""

    def __init__(
        self,
        pipe: Pipe,
        context: ssl.SSLContext,
        *,
        extra: dict[str, Any],
        opened: Callable[[TlsTransport], None],
        over: Callable[[TlsTransport], None],
    ) -> None:
        """`opened` must set the protocol and call its connection_made; `over` is called once.

        `extra` is what get_extra_info tells.
        """
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        super().__init__({**extra, "sslcontext": context, "ssl_object": self._tls})
        self._pipe = pipe
        self._opened = opened
        self._over = over
        self._loop = asyncio.get_running_loop()
        self._protocol: asyncio.Protocol | None = None
        self._shaken = self._closing = self._lost = False
        self._peer_done = False
        """The client has said close_notify: nothing more comes, nobody waits for the rest."""
        self._reading_paused = False
        self._timer = self._loop.call_later(HANDSHAKE_SECONDS, self.abort)

    def start(self) -> None:
        """Take the pipe."""
        self._pipe.attach(self)

    # ── PipeReceiver ────────────────────────────────────────────────────────────────────────────

    def data_received(self, data: bytes) -> None:
        if self._lost or self._closing:
            return
        self._incoming.write(data)
        self._advance()

    def pipe_lost(self, reason: str) -> None:
        if self._lost:
            return
        self._lost = self._closing = True
        self._timer.cancel()
        if self._protocol is not None:
            self._protocol.connection_lost(None)
        self._over(self)

    def pause_writing(self) -> None:
        if self._protocol is not None:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        if self._protocol is not None:
            self._protocol.resume_writing()

    # ── asyncio.Transport ───────────────────────────────────────────────────────────────────────

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if not data or self._closing:
            return
        try:
            self._tls.write(data)
        except ssl.SSLError:
            self.abort()
        else:
            self._flush()

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        with contextlib.suppress(ssl.SSLError):  # the client's close_notify is not there yet
            self._tls.unwrap()
        self._flush()
        self._timer.cancel()
        if self._peer_done:
            self._pipe.close()
            return
        self._timer = self._loop.call_later(LINGER_SECONDS, self._pipe.close)
        if self._reading_paused:  # the pipe's end would not be seen
            self._reading_paused = False
            self._pipe.resume_reading()

    def abort(self) -> None:
        if not self._lost:
            self._closing = True
            self._timer.cancel()
            self._pipe.abort()

    def is_closing(self) -> bool:
        return self._closing

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None:
        if not self._reading_paused and not self._closing:
            self._reading_paused = True
            self._pipe.pause_reading()

    def resume_reading(self) -> None:
        if self._reading_paused and not self._closing:
            self._reading_paused = False
            self._pipe.resume_reading()
            self._loop.call_soon(self._advance)  # what TLS holds already comes with no new bytes

    def is_reading(self) -> bool:
        return not self._reading_paused and not self._closing

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._protocol is not None
        return self._protocol

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def _advance(self) -> None:
        """Shake hands, then deliver what there is."""
        if self._lost:
            return
        try:
            if not self._shaken:
                self._shake()
            while self.is_reading() and not self._peer_done:
                self._deliver(self._tls.read(_READ))
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._deliver(b"")
        except ssl.SSLError:
            self._flush()  # the alert that tells the client what is wrong
            self.abort()
        self._flush()

    def _shake(self) -> None:
        self._tls.do_handshake()
        self._shaken = True
        self._timer.cancel()
        self._opened(self)

    def _deliver(self, data: bytes) -> None:
        assert self._protocol is not None
        if data:
            self._protocol.data_received(data)
            return
        self._peer_done = True
        self._protocol.eof_received()
        self.close()

    def _flush(self) -> None:
        if self._outgoing.pending and not self._lost:
            self._pipe.write(self._outgoing.read())
