"""A pipe over one QUIC stream of the `iroh` library."""

from __future__ import annotations

from typing import Any

from mesh.lifecycle import Tasks
from mesh.links.queued_pipe import QueuedPipe

READ_SIZE = 64 * 1024


class QuicPipe(QueuedPipe):
    """Implements `mesh.links.pipe.Pipe`; owns the connection, which carries nothing else."""

    def __init__(self, connection: Any, stream: Any, place: str, tasks: Tasks) -> None:
        """`place` is host:port of the other end's UDP."""
        super().__init__(f"udp://{place}", place.rpartition(":")[0].strip("[]"))
        self._connection = connection
        self._outwards = stream.send()
        self._inwards = stream.recv()
        tasks.spawn(self.write_all(), "quic writer")
        tasks.spawn(self.read_all(), "quic reader")

    async def _receive(self) -> bytes:
        data: bytes = await self._inwards.read(READ_SIZE)
        return data

    async def _send(self, data: bytes) -> None:
        await self._outwards.write_all(data)

    async def _finish(self) -> None:
        await self._outwards.finish()
        await self._outwards.stopped()  # the other end has all of it

    def _cut(self) -> None:
        self._connection.close(0, b"")
