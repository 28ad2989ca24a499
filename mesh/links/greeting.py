"""The first moments of a pipe: TLS, proofs and hellos, within a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from mesh.errors import HandshakeError, WireError
from mesh.links.handshake import DiallerHandshake, Handshake, Refused
from mesh.links.pipe import Pipe
from mesh.links.tls import TlsChannel
from mesh.wire.frames import GOAWAY, FrameDecoder, cut_reason, encode_frame
from mesh.wire.hello import Hello

HANDSHAKE_TIMEOUT = 3.0
"""Seconds from the pipe's start to both hellos."""
MAX_HANDSHAKE_BYTES = 64 * 1024
"""Bytes the other end may send before it has proved who it is."""


class Channel(Protocol):
    """What a link needs of encryption once it stands; `mesh.links.tls.TlsChannel` and a twin."""

    @property
    def ended(self) -> bool: ...

    def receive(self, ciphertext: bytes) -> bytes: ...

    def write(self, plaintext: bytes) -> bytes: ...

    def goodbye(self) -> bytes: ...


class Greeted(NamedTuple):
    """A pipe whose two ends know each other."""

    pipe: Pipe
    tls: Channel
    hello: Hello
    """The peer's."""
    own: Hello
    """What this side said."""
    decoder: FrameDecoder
    frames: list[list[Any]]
    """Frames that came in the same bytes as the last of the handshake."""


class Greeting:
    """Owns a pipe until the handshake is over. Calls exactly one of `done` and `failed`, once."""

    def __init__(
        self,
        pipe: Pipe,
        tls: TlsChannel,
        handshake: Handshake,
        *,
        done: Callable[[Greeted], None],
        failed: Callable[[HandshakeError], None],
        timeout: float = HANDSHAKE_TIMEOUT,
    ) -> None:
        self._pipe = pipe
        self._tls = tls
        self._handshake = handshake
        self._done = done
        self._failed = failed
        self._decoder = FrameDecoder()
        self._received = 0
        self._started = False
        self._over = False
        self._timer = asyncio.get_running_loop().call_later(timeout, self._late)

    def start(self) -> None:
        """Take the pipe and send the first bytes, if this side speaks first."""
        self._pipe.attach(self)
        if isinstance(self._handshake, DiallerHandshake):
            self._pipe.write(self._tls.start())

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        self._received += len(data)
        try:
            if self._received > MAX_HANDSHAKE_BYTES:
                raise WireError("too much was sent before the handshake was over")
            self._advance(self._tls.receive(data))
        except (HandshakeError, WireError) as error:
            self._fail(error)

    def pipe_lost(self, reason: str) -> None:
        self._fail(HandshakeError(f"the connection ended during the handshake ({reason})"))

    def pause_writing(self) -> None:
        """A handshake is too small to care."""

    def resume_writing(self) -> None:
        """A handshake is too small to care."""

    def cancel(self) -> None:
        """Nobody waits for this any more."""
        self._fail(HandshakeError("the handshake was cancelled"))

    def _advance(self, plaintext: bytes) -> None:
        self._pipe.write(self._tls.pending_output())
        if self._tls.established and not self._started:
            self._started = True
            dialler = isinstance(self._handshake, DiallerHandshake)
            self._send(self._handshake.start(self._tls.peer_key() if dialler else b""))
        frames = self._decoder.feed(plaintext)
        for index, frame in enumerate(frames):
            self._send(self._handshake.receive(frame))
            if self._handshake.hello is not None and self._handshake.own is not None:
                self._succeed(self._handshake.hello, self._handshake.own, frames[index + 1 :])
                return
        if self._tls.ended:
            raise HandshakeError("the other end closed during the handshake")

    def _send(self, plaintext: bytes) -> None:
        if plaintext:
            self._pipe.write(self._tls.write(plaintext))

    def _succeed(self, hello: Hello, own: Hello, frames: list[list[Any]]) -> None:
        self._over = True
        self._timer.cancel()
        self._done(Greeted(self._pipe, self._tls, hello, own, self._decoder, frames))

    def _late(self) -> None:
        self._fail(HandshakeError("the handshake took too long"))

    def _fail(self, error: HandshakeError | WireError) -> None:
        if self._over:
            return
        self._over = True
        self._timer.cancel()
        if isinstance(error, Refused) and self._tls.established:
            self._send(encode_frame(GOAWAY, int(error.code), cut_reason(str(error))))
            self._pipe.write(self._tls.goodbye())
        self._pipe.close()
        if isinstance(error, WireError):
            error = HandshakeError(str(error))
        self._failed(error)
