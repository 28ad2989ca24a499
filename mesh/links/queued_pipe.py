"""What pipes have in common whose library reads and writes by awaiting."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque

from mesh.links.pipe import CLOSE_PATIENCE, PIPE_HIGH_WATER, PIPE_LOW_WATER, PipeReceiver

WRITE_SIZE = 64 * 1024
"""Bytes given to the library at once, unless a single write was larger."""


class QueuedPipe(ABC):
    """Most of `mesh.links.pipe.Pipe`. Its maker spawns `write_all` and `read_all` once."""

    def __init__(self, remote: str, source: str) -> None:
        self.remote = remote
        self.source = source
        self._receiver: PipeReceiver | None = None
        self._attached = asyncio.Event()
        self._outgoing: deque[bytes] = deque()
        self._outgoing_size = 0
        self._wake = asyncio.Event()
        self._readable = asyncio.Event()
        self._readable.set()
        self._closing = False
        self._paused = False
        self._lost: str | None = None
        self._patience: asyncio.TimerHandle | None = None

    # ── for the library in question ─────────────────────────────────────────────────────────────

    @abstractmethod
    async def _receive(self) -> bytes:
        """The next bytes; none at the end. May raise what the library raises."""

    @abstractmethod
    async def _send(self, data: bytes) -> None:
        """May raise what the library raises."""

    @abstractmethod
    async def _finish(self) -> None:
        """All was sent, or sending failed: end it. May raise what the library raises."""

    @abstractmethod
    def _cut(self) -> None:
        """End what lies beneath now. Harmless when it has ended."""

    # ── Pipe ────────────────────────────────────────────────────────────────────────────────────

    def attach(self, receiver: PipeReceiver) -> None:
        self._receiver = receiver
        self._attached.set()
        if self._lost is not None:
            receiver.pipe_lost(self._lost)

    def write(self, data: bytes) -> None:
        if not data or self._closing:
            return
        self._outgoing.append(data)
        self._outgoing_size += len(data)
        self._wake.set()
        if self._outgoing_size > PIPE_HIGH_WATER and not self._paused and self._receiver:
            self._paused = True
            self._receiver.pause_writing()

    def pause_reading(self) -> None:
        self._readable.clear()

    def resume_reading(self) -> None:
        self._readable.set()

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._wake.set()
            self._patience = asyncio.get_running_loop().call_later(CLOSE_PATIENCE, self._cut)

    def abort(self) -> None:
        self._outgoing.clear()
        self.close()
        self._cut()

    # ── both directions ─────────────────────────────────────────────────────────────────────────

    async def read_all(self) -> None:
        """Deliver what comes until the pipe ends."""
        reason = "the connection ended"
        await self._attached.wait()
        try:
            while data := await self._receive():
                await self._readable.wait()
                if self._receiver is not None:
                    self._receiver.data_received(data)
        except Exception as error:  # noqa: BLE001 - not all libraries' errors have a base class
            reason = str(error).strip().partition("\n")[0][:200] or type(error).__name__
        finally:
            self.close()
            self._lost = reason
            if self._receiver is not None:
                self._receiver.pipe_lost(reason)

    async def write_all(self) -> None:
        """Send what is written until the pipe is closed."""
        try:
            while self._outgoing or not self._closing:
                if self._outgoing:
                    await self._write_some()
                else:
                    self._wake.clear()
                    await self._wake.wait()
            await self._finish()
        except Exception:  # noqa: BLE001 - the reader sees the end, too, and reports it
            self._closing = True
        finally:
            if self._patience is not None:
                self._patience.cancel()
            self._cut()

    async def _write_some(self) -> None:
        data = self._outgoing.popleft()
        while self._outgoing and len(data) + len(self._outgoing[0]) <= WRITE_SIZE:
            data += self._outgoing.popleft()
        await self._send(data)
        self._outgoing_size -= len(data)
        if self._paused and self._outgoing_size < PIPE_LOW_WATER and self._receiver:
            self._paused = False
            self._receiver.resume_writing()
