"""The process that computes: started for the first job, ended when it was idle for a while."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections import deque
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import cast

from mesh.errors import EngineUnavailable
from mesh.jobs import Chunk, Finish
from services.engines.demo.protocol import (
    PIECE_WINDOW,
    STREAM_WINDOW,
    Message,
    encode,
    make_unpacker,
    pack_request,
    unpack_event,
)
from services.engines.demo.request import Request

log = logging.getLogger(__name__)

IDLE_SECONDS = 30.0
"""A process without jobs is ended after this long: it holds 30 MiB and starts in 0.2 s."""
END_PATIENCE = 2.0
"""Seconds the process gets to end by itself when its input was closed."""

ONE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "BLIS_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
}
"""Read by the BLAS libraries when NumPy loads them: two threads on busy cores are far slower."""
SMALL_HEAP = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}
"""glibc gives the memory of loading back (7 MiB)."""

ROOT = Path(__file__).parents[3]
"""The folder that holds the `services` package."""


class Inbox:
    """Messages of one job that its reader has not taken yet; bounded by the job's window."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._waiter: asyncio.Future[None] | None = None

    def put(self, message: Message) -> None:
        """Add a message and wake the reader."""
        self._messages.append(message)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def take(self) -> Message:
        """Wait for the next message. For one reader."""
        while not self._messages:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._messages.popleft()


class Child(asyncio.SubprocessProtocol):
    """One running process, and the inboxes of the jobs it works on."""

    def __init__(self) -> None:
        self.inboxes: dict[int, Inbox] = {}
        self._unpacker = make_unpacker()
        self._transport: asyncio.SubprocessTransport | None = None
        self._ended = asyncio.get_running_loop().create_future()
        self._told_to_end = False

    @property
    def usable(self) -> bool:
        """True until the process was told to end or ended."""
        return not self._told_to_end and not self._ended.done()

    @property
    def pid(self) -> int | None:
        """The process's id, once it was started."""
        return self._transport.get_pid() if self._transport else None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The process runs."""
        self._transport = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Hand out the messages in the data; those of dropped jobs are ignored."""
        self._unpacker.feed(data)
        for message in self._unpacker:
            inbox = self.inboxes.get(message["job"])
            if inbox is not None:
                inbox.put(message)

    def connection_lost(self, error: Exception | None) -> None:
        """The process ended and all it wrote was read: fail the jobs that were under way."""
        for inbox in self.inboxes.values():
            inbox.put({"failed": True})
        if not self._ended.done():
            self._ended.set_result(None)
        if self._transport is not None:
            self._transport.close()

    def send(self, message: Message) -> None:
        """Write a message, unless the process is gone."""
        if self.usable and (pipe := self._input()):
            pipe.write(encode(message))

    def end(self) -> None:
        """Close the process's input, upon which it ends."""
        if self.usable and (pipe := self._input()):
            pipe.close()
        self._told_to_end = True

    async def wait(self) -> None:
        """Wait until the process ended; kill it when that takes too long."""
        try:
            async with asyncio.timeout(END_PATIENCE):
                await asyncio.shield(self._ended)
        except TimeoutError:
            log.warning("the demo process %s did not end and is killed", self.pid)
            if self._transport is not None:
                self._transport.kill()
            await asyncio.shield(self._ended)

    def _input(self) -> asyncio.WriteTransport | None:
        pipe = self._transport.get_pipe_transport(0) if self._transport else None
        return cast("asyncio.WriteTransport | None", pipe)


class DemoProcess:
    """Runs requests in a child process, which is there only while it is needed."""

    def __init__(self, folder: Path, *, idle_seconds: float = IDLE_SECONDS) -> None:
        self._folder = folder.absolute()
        self._idle_seconds = idle_seconds
        self._starting = asyncio.Lock()
        self._child: Child | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._last_job = 0
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The running process, if there is one."""
        return self._child.pid if self._child and self._child.usable else None

    async def run(self, request: Request) -> AsyncGenerator[Chunk | Finish, None]:
        """Yield the events of a request; closing the generator stops the work on it."""
        child = await self._start()
        self._last_job = job = self._last_job + 1
        inbox = child.inboxes[job] = Inbox()
        window = STREAM_WINDOW if request.stream else PIECE_WINDOW
        child.send({"run": job, "request": pack_request(request), "window": window})
        taken, finished = 0, False
        try:
            while not finished:
                message = await inbox.take()
                finished = "chunk" not in message
                yield unpack_event(message)
                taken += 1
                if taken * 2 >= window:
                    child.send({"pull": job, "count": taken})
                    taken = 0
        finally:
            del child.inboxes[job]
            if not finished:
                child.send({"cancel": job})
            self._plan_end()

    async def close(self) -> None:
        """End the process; by force when it does not end by itself. Safe to call twice."""
        self._closed = True
        async with self._starting:
            if self._idle is not None:
                self._idle.cancel()
            if self._child is not None:
                self._child.end()
                await self._child.wait()

    async def _start(self) -> Child:
        """The running process. Raises EngineUnavailable when it cannot be started."""
        async with self._starting:
            if self._idle is not None:
                self._idle.cancel()
            if self._closed:
                raise EngineUnavailable("the demo engine is closed")
            if self._child is None or not self._child.usable:
                self._child = await _spawn(self._folder)
            return self._child

    def _plan_end(self) -> None:
        """Start to count idle time when the last job is gone."""
        if self._child is not None and not self._child.inboxes and not self._closed:
            loop = asyncio.get_running_loop()
            self._idle = loop.call_later(self._idle_seconds, self._end_idle)

    def _end_idle(self) -> None:
        if self._child is not None and not self._child.inboxes:
            self._child.end()


async def _spawn(folder: Path) -> Child:
    """Start the process in a session of its own, so that Ctrl-C in a terminal does not reach it."""
    command = (sys.executable, "-m", "services.engines.demo.child", str(folder))
    try:
        _, child = await asyncio.get_running_loop().subprocess_exec(
            Child,
            *command,
            stderr=None,
            cwd=ROOT,
            env={**os.environ, **ONE_THREAD, **SMALL_HEAP},
            start_new_session=True,
        )
    except OSError as error:
        raise EngineUnavailable(f"the demo process cannot be started: {error}") from error
    return child
