"""The way back on a connection that aiohttp serves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.http import HttpVersion11
from multidict import CIMultiDict

from mesh.lifecycle import Tasks
from node.gateway.exchange import Answer, Headers
from node.gateway.http_bytes import SERVER


class FullReply:
    """Implements node.gateway.exchange.Reply on an aiohttp response."""

    def __init__(
        self, request: web.BaseRequest, common: Headers, stall_seconds: float, tasks: Tasks
    ) -> None:
        self._request = request
        self._stall_seconds = stall_seconds
        self._tasks = tasks
        self._lock = asyncio.Lock()
        self.common = common
        self.response: web.StreamResponse = web.StreamResponse()
        self.status = 0

    @property
    def begun(self) -> bool:
        return self.status != 0

    async def send(self, answer: Answer) -> None:
        self.status = answer.status
        self.response = whole(answer, self.common)
        if not self._request.content.at_eof():
            self.response.force_close()
        async with self._bounded():
            await self.response.prepare(self._request)
            await self.response.write_eof()

    def begin(self, status: int, content_type: str, headers: Headers) -> None:
        self.status = status
        every = _multidict(content_type, [*headers, *self.common])
        self.response = web.StreamResponse(status=status, headers=every)
        if self._request.version >= HttpVersion11:
            self.response.enable_chunked_encoding()
        else:
            self.response.force_close()

    async def write(self, data: bytes) -> None:
        async with self._lock, self._bounded():
            if not self.response.prepared:
                await self.response.prepare(self._request)
            await self.response.write(data)

    def write_soon(self, data: bytes) -> None:
        if not self._lock.locked() and self._request.transport is not None:
            self._tasks.spawn(self._comment(data), "keep-alive comment")

    async def end(self, data: bytes = b"", *, close: bool = False) -> None:
        if close:
            self.response.force_close()
        if data:
            await self.write(data)
        async with self._lock, self._bounded():
            await self.response.write_eof()

    def abort(self) -> None:
        if self._request.transport is not None:
            self._request.transport.abort()

    async def _comment(self, data: bytes) -> None:
        try:
            await self.write(data)
        except ConnectionError:
            return  # the stream's own next write finds out too

    @asynccontextmanager
    async def _bounded(self) -> AsyncIterator[None]:
        """Let go of a client that takes nothing for too long."""
        try:
            async with asyncio.timeout(self._stall_seconds):
                yield
        except TimeoutError:
            self.abort()
            raise ConnectionResetError("the client takes nothing of its answer") from None


def whole(answer: Answer, common: Headers) -> web.Response:
    """A complete aiohttp response."""
    content_type = answer.content_type if answer.body else ""
    headers = _multidict(content_type, [*answer.headers, *common])
    return web.Response(status=answer.status, body=answer.body or None, headers=headers)


def _multidict(content_type: str, headers: Headers) -> CIMultiDict[str]:
    every = CIMultiDict(headers)
    if content_type:
        every["content-type"] = content_type
    every["server"] = SERVER
    return every
