"""The way back on a lean connection: bytes straight to the transport."""

from __future__ import annotations

from typing import Protocol

from node.gateway.exchange import Answer, Headers
from node.gateway.http_bytes import LAST_CHUNK, chunked_head, http_chunk, whole_response


class Outlet(Protocol):
    """What a reply needs of its connection."""

    def write(self, data: bytes) -> None:
        """Send now."""
        ...

    def write_corked(self, data: bytes) -> None:
        """Send at the end of this turn of the loop, with whatever else comes until then."""
        ...

    async def drain(self) -> None:
        """Wait until the client has taken enough. Raises ConnectionError once it is gone."""
        ...

    @property
    def writable(self) -> bool:
        """False while the client does not read, and once it is gone."""
        ...

    def close_after(self) -> None:
        """Close once this request is over."""
        ...

    def cut(self) -> None:
        """Close now, dropping what was not sent."""
        ...


class LeanReply:
    """Implements node.gateway.exchange.Reply."""

    __slots__ = ("_common", "_head_only", "_outlet", "_pending", "close", "status")

    def __init__(self, outlet: Outlet, common: Headers, *, head_only: bool, close: bool) -> None:
        self._outlet = outlet
        self._common = common
        self._head_only = head_only
        self._pending = b""
        self.close = close
        self.status = 0

    @property
    def begun(self) -> bool:
        return self.status != 0

    async def send(self, answer: Answer) -> None:
        self.status = answer.status
        self._outlet.write(
            whole_response(answer, self._common, head_only=self._head_only, close=self.close)
        )
        await self._outlet.drain()

    def begin(self, status: int, content_type: str, headers: Headers) -> None:
        self.status = status
        every = [*headers, *self._common]
        self._pending = chunked_head(status, content_type, every, close=self.close)

    async def write(self, data: bytes) -> None:
        if self._pending:
            self._put(http_chunk(data))  # the first bytes are what a client waits for
        else:
            self._outlet.write_corked(http_chunk(data))
        await self._outlet.drain()

    def write_soon(self, data: bytes) -> None:
        if self._outlet.writable:
            self._put(http_chunk(data))

    async def end(self, data: bytes = b"", *, close: bool = False) -> None:
        self._put((http_chunk(data) if data else b"") + LAST_CHUNK)
        if close:
            self._outlet.close_after()
        await self._outlet.drain()

    def abort(self) -> None:
        self._outlet.cut()

    def _put(self, data: bytes) -> None:
        if self._pending:
            data, self._pending = self._pending + data, b""
        self._outlet.write(data)
