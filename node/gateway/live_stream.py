"""One answer that is sent as it comes: headers held back, keep-alive comments, honest ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from mesh.jobs import Chunk, Finish
from mesh.ports import Progress, Run
from node.gateway import sse
from node.gateway.exchange import Headers, Reply


class Renderer(Protocol):
    """A dialect's way to write events; pure."""

    @property
    def content_type(self) -> str: ...

    @property
    def end(self) -> bytes:
        """What follows the last event of a stream that went well."""
        ...

    def chunk(self, chunk: Chunk) -> bytes: ...

    def finish(self, finish: Finish) -> bytes: ...


class LiveStream:
    """Writes one run's events to one client.

    Headers leave with the first chunk, so that they name the node that really serves; or earlier,
    when the job waits longer than `hold` seconds or the line was silent for `keep_alive` seconds.
    """

    def __init__(
        self,
        *,
        run: Run,
        reply: Reply,
        renderer: Renderer,
        headers: Callable[[Run], Headers],
        hold: float,
        keep_alive: float,
    ) -> None:
        self._run = run
        self._reply = reply
        self._renderer = renderer
        self._headers = headers
        self._hold = hold
        self._keep_alive = keep_alive
        self._loop = asyncio.get_running_loop()
        self._started = self._last = self._loop.time()
        self._timer = self._loop.call_later(keep_alive, self._tick)
        self._shown: tuple[str, int] | None = None
        self.begun = False

    async def chunk(self, chunk: Chunk) -> None:
        """Send a chunk; waits while the client is slow, which is what stops the engine."""
        data = self._renderer.chunk(chunk)
        if not data:
            return
        if not self.begun:
            self._begin()
        self._last = self._loop.time()
        await self._reply.write(data)

    async def progress(self, event: Progress) -> None:
        """Tell a client that has waited where its job stands, when that has changed."""
        if not self.begun:
            waited = self._loop.time() - self._started
            if event.state != "queued" or waited <= self._hold:
                return
            self._begin()
        standing = (event.state, event.position)
        if standing != self._shown:
            self._shown = standing
            self._last = self._loop.time()
            await self._reply.write(sse.progress(event))

    async def resumed(self) -> None:
        """Tell a client that another node goes on; the next chunk follows the last one."""
        if self.begun:
            self._last = self._loop.time()
            await self._reply.write(sse.RESUMED)

    async def finish(self, finish: Finish) -> None:
        """Send the reasons, the totals and the dialect's end."""
        if not self.begun:
            self._begin()
        totals = sse.totals(self._run, finish.usage.completion_tokens)
        await self._reply.end(self._renderer.finish(finish) + totals + self._renderer.end)

    async def fail(self, line: bytes) -> None:
        """Send an error as the last event and close: no end marker, so nobody takes it for done."""
        await self._reply.end(line, close=True)

    def stop(self) -> None:
        """No more keep-alive comments."""
        self._timer.cancel()

    def _begin(self) -> None:
        self.begun = True
        headers = [
            *self._headers(self._run),
            ("cache-control", "no-cache"),
            ("x-accel-buffering", "no"),
        ]
        self._reply.begin(200, self._renderer.content_type, headers)

    def _tick(self) -> None:
        silent = self._loop.time() - self._last
        if silent >= self._keep_alive:
            if not self.begun:
                self._begin()
            self._reply.write_soon(sse.KEEP_ALIVE)
            self._last, silent = self._loop.time(), 0.0
        self._timer = self._loop.call_later(self._keep_alive - silent, self._tick)
