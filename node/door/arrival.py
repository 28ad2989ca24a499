"""A connection from outside, from its first byte until its name's holder takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mesh.errors import WireError
from mesh.links.pipe import Pipe
from node.door.server_name import MAX_HELLO, ServerNameReader

HELLO_SECONDS = 3.0
"""For a client to say whom it wants."""


class Arrival:
    """Implements PipeReceiver; owns the pipe until `joined`."""

    def __init__(
        self,
        pipe: Pipe,
        reader: ServerNameReader,
        *,
        named: Callable[[Arrival, str], None],
        ended: Callable[[Arrival], None],
    ) -> None:
        """`named` is called at most once, with the wanted name; `ended` exactly once."""
        self.pipe = pipe
        self.token = b""
        """What the holder's pipe has to bring; b"" before it was asked."""
        self._reader = reader
        self._named = named
        self._ended = ended
        self._name: str | None = None
        self._late = bytearray()
        self._over = False
        self._timer = asyncio.get_running_loop().call_later(HELLO_SECONDS, self.cut)

    @property
    def over(self) -> bool:
        """The pipe is the arrival's no longer."""
        return self._over

    def start(self) -> None:
        """Take the pipe."""
        self.pipe.attach(self)

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        if self._name is not None:  # read just before reading was paused
            self._late += data
            if len(self._late) > MAX_HELLO:
                self.cut()
            return
        try:
            self._name = self._reader.feed(data)
        except WireError:
            self.refuse()
            return
        if self._name is not None:
            self._timer.cancel()
            self.pipe.pause_reading()
            self._named(self, self._name)

    def pipe_lost(self, reason: str) -> None:
        self._end()

    def pause_writing(self) -> None:
        """Nothing but an alert is ever written."""

    def resume_writing(self) -> None:
        """Nothing but an alert is ever written."""

    def joined(self) -> bytes:
        """Somebody else owns the pipe now, and gets what has come; it is to be read again."""
        self._end()
        return self._reader.received + bytes(self._late)

    def refuse(self) -> None:
        """Tell the client that nobody here has that name, if it speaks TLS at all."""
        if not self._over:
            self.pipe.write(self._reader.refusal())
            self.pipe.close()
            self._end()

    def cut(self) -> None:
        """End it without a word."""
        if not self._over:
            self.pipe.abort()
            self._end()

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self._timer.cancel()
            self._ended(self)
