"""Keeps a worker close to what the gateway's client has taken."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from mesh.errors import LinkClosed, LinkError, WireError
from mesh.jobs import Chunk
from mesh.wire.jobs import count_tokens, decode_taken


class Window:
    """Counts tokens sent and taken; reads the gateway's words only when there is no room left."""

    def __init__(self, size: int, receive: Callable[[], Awaitable[bytes | None]]) -> None:
        """`size` in tokens, at least 1; `receive` gives the gateway's next message.

        The gateway tells after every half window, so less than that may stay untold for ever.
        """
        self._size = size
        self._half = max(1, size // 2)
        self._receive = receive
        self._sent = 0
        self._taken = 0

    async def make_room(self, chunk: Chunk) -> None:
        """Return when the chunk may be sent. Raises LinkError when nobody will take it."""
        tokens = count_tokens(chunk)
        while (ahead := self._sent - self._taken) >= self._half and ahead + tokens > self._size:
            await self._read()
        self._sent += tokens

    async def _read(self) -> None:
        data = await self._receive()
        if data is None:
            raise LinkClosed("the gateway takes no more")
        try:
            taken = decode_taken(data)
        except WireError as error:
            raise LinkError(str(error)) from error
        if not self._taken <= taken <= self._sent:
            raise LinkError("the gateway has taken what was never sent")
        self._taken = taken
