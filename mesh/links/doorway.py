"""The first bytes of a pipe that came in: a handshake, or a token for who told it to come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mesh.links.pipe import Pipe
from mesh.wire.relay import PREAMBLE_BYTES, decode_preamble, is_preamble


class Doorway:
    """Owns an accepted pipe until it is known what it is. Calls exactly one of the three, once."""

    def __init__(
        self,
        pipe: Pipe,
        *,
        handshake: Callable[[bytes], None],
        token: Callable[[bytes, bytes], None],
        failed: Callable[[str], None],
        seconds: float,
    ) -> None:
        """`handshake` gets the bytes that came, `token` a token and the bytes behind it; all that
        within so many seconds."""
        self._pipe = pipe
        self._handshake = handshake
        self._token = token
        self._failed = failed
        self._first = b""
        self._over = False
        self._timer = asyncio.get_running_loop().call_later(seconds, self._late)

    def start(self) -> None:
        """Take the pipe."""
        self._pipe.attach(self)

    def cancel(self) -> None:
        """Nobody waits for this any more."""
        self._fail("nobody waits for it any more")

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        self._first += data
        if not is_preamble(self._first[:PREAMBLE_BYTES]):
            self._end()
            self._handshake(self._first)
        elif len(self._first) >= PREAMBLE_BYTES:
            self._end()
            token = decode_preamble(self._first[:PREAMBLE_BYTES])
            self._token(token, self._first[PREAMBLE_BYTES:])

    def pipe_lost(self, reason: str) -> None:
        self._fail(f"the connection ended before it said what it is ({reason})")

    def pause_writing(self) -> None:
        """Nothing is written yet."""

    def resume_writing(self) -> None:
        """Nothing is written yet."""

    def _late(self) -> None:
        self._fail("the connection did not say what it is")

    def _fail(self, reason: str) -> None:
        if not self._over:
            self._end()
            self._pipe.close()
            self._failed(reason)

    def _end(self) -> None:
        self._over = True
        self._timer.cancel()
