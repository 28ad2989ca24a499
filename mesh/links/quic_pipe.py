"""A pipe over one QUIC stream of the `iroh` library."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from mesh.lifecycle import Tasks
from mesh.links.pipe import CLOSE_PATIENCE, PIPE_HIGH_WATER, PIPE_LOW_WATER, PipeReceiver

READ_SIZE = 64 * 1024
WRITE_SIZE = 64 * 1024


class QuicPipe:
    """Implements `mesh.links.pipe.Pipe`; owns the connection, which carries nothing else."""

    def __init__(self, connection: Any, stream: Any, place: str, tasks: Tasks) -> None:
        """`place` is host:port of the other end's UDP."""
        self.remote = f"udp://{place}"
        self.source = place.rpartition(":")[0].strip("[]")
        self._connection = connection
        self._send = stream.send()
        self._receive = stream.recv()
        self._receiver: PipeReceiver | None = None
        self._outgoing: deque[bytes] = deque()
        self._outgoing_size = 0
        self._wake = asyncio.Event()
        self._readable = asyncio.Event()
        self._readable.set()
        self._attached = asyncio.Event()
        self._closing = False
        self._paused = False
        self._lost: str | None = None
        self._patience: asyncio.TimerHandle | None = None
        tasks.spawn(self._write_all(), "quic writer")
        tasks.spawn(self._read_all(), "quic reader")

    def attach(self, receiver: PipeReceiver) -> None:
        self._receiver = receiver
        self._attached.set()
        if self._lost is not None:
            receiver.pipe_lost(self._lost)

    def write(self, data: bytes) -> None:
        if not data or self._closing:
            return
        self._outgoing.append(bytes(data))
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

    def _cut(self) -> None:
        self._connection.close(0, b"")

    async def _read_all(self) -> None:
        reason = "the QUIC stream ended"
        await self._attached.wait()
        try:
            while data := await self._receive.read(READ_SIZE):
                await self._readable.wait()
                if self._receiver is not None:
                    self._receiver.data_received(data)
        except Exception as error:  # noqa: BLE001 - the library's errors have no public base class
            reason = f"QUIC failed: {_words(error)}"
        self.close()
        self._lost = reason
        if self._receiver is not None:
            self._receiver.pipe_lost(reason)

    async def _write_all(self) -> None:
        try:
            while self._outgoing or not self._closing:
                if self._outgoing:
                    await self._write_some()
                else:
                    self._wake.clear()
                    await self._wake.wait()
            await self._send.finish()
            await self._send.stopped()
        except Exception:  # noqa: BLE001 - the reader sees the end and reports it
            self._closing = True
        finally:
            if self._patience is not None:
                self._patience.cancel()
            self._cut()

    async def _write_some(self) -> None:
        parts, size = [], 0
        while self._outgoing and size < WRITE_SIZE:
            parts.append(self._outgoing.popleft())
            size += len(parts[-1])
        await self._send.write_all(b"".join(parts))
        self._outgoing_size -= size
        if self._paused and self._outgoing_size < PIPE_LOW_WATER and self._receiver:
            self._paused = False
            self._receiver.resume_writing()


def _words(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
