"""A wire that remembers what passes: TCP in front of one port, both ways."""

from __future__ import annotations

import asyncio
import contextlib

from mesh.lifecycle import Tasks


class Recorder:
    """Listens on a port of its own and passes everything to `port` of this machine."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._tasks = Tasks("recorder")
        self._server: asyncio.Server | None = None
        self.passed = bytearray()

    async def __aenter__(self) -> Recorder:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *failure: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._tasks.close()

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        for source, target in ((reader, back), (there, writer)):
            self._tasks.spawn(self._pass(source, target), "wire")

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            try:
                while data := await source.read(65536):
                    self.passed += data
                    target.write(data)
                    await target.drain()
            finally:
                target.close()
