"""An HTTP proxy for tests: CONNECT only, a log of what passed, names and passwords of its own.

Answers as RFC 9110, 9.3.6 and 11.7 say (June 2022): 200 without a body, 407 with a challenge.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

MAX_HEAD = 16 * 1024


@dataclass
class ConnectProxy:
    """A running proxy. `names` are hosts that only it can resolve."""

    names: Mapping[str, str] = field(default_factory=dict)
    credentials: str = ""
    """user:password that it demands, "" for none."""
    ports: frozenset[int] | None = None
    """Where it connects to; None: everywhere."""
    challenge: str = 'Basic realm="fake"'
    cut: bool = False
    """Send every answer in single bytes."""
    port: int = 0
    asked: list[str] = field(default_factory=list)
    """The target of each CONNECT, HOST:PORT."""
    statuses: list[int] = field(default_factory=list)
    passed: bytearray = field(default_factory=bytearray)
    """What clients sent through, as a proxy can read it."""
    _tunnels: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut_tunnels(self) -> None:
        """As when the proxy restarts."""
        for writer in self._tunnels:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tunnels.add(writer)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._serve(reader, writer)
        finally:
            self._tunnels.discard(writer)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, target, _ = head.split("\r\n")[0].split(" ")
        status = self._judge(method, target, head)
        if status == 200:
            host, _, port = target.rpartition(":")
            try:
                outside = await asyncio.open_connection(self.names.get(host, host), int(port))
            except OSError:
                status = 502
        self.asked.append(target)
        self.statuses.append(status)
        await self._answer(writer, status)
        if status == 200:
            await self._splice(reader, writer, *outside)

    def _judge(self, method: str, target: str, head: str) -> int:
        if method != "CONNECT":
            return 405
        token = base64.b64encode(self.credentials.encode()).decode()
        if self.credentials and f"Proxy-Authorization: Basic {token}\r\n" not in head:
            return 407
        if self.ports is not None and int(target.rpartition(":")[2]) not in self.ports:
            return 403
        return 200

    async def _answer(self, writer: asyncio.StreamWriter, status: int) -> None:
        lines = [f"HTTP/1.1 {status} Some Reason", "Via: 1.1 fake"]
        if status == 407:
            lines.append(f"Proxy-Authenticate: {self.challenge}")
        data = ("\r\n".join(lines) + "\r\n\r\n").encode()
        step = 1 if self.cut else len(data)
        for start in range(0, len(data), step):
            writer.write(data[start : start + step])
            await writer.drain()
            if self.cut:
                await asyncio.sleep(0)

    async def _splice(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        outside_reader: asyncio.StreamReader,
        outside_writer: asyncio.StreamWriter,
    ) -> None:
        async def pump(
            source: asyncio.StreamReader, sink: asyncio.StreamWriter, keep: bool
        ) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    if keep:
                        self.passed += data
                    sink.write(data)
                    await sink.drain()
            sink.close()

        await asyncio.gather(
            pump(reader, outside_writer, True), pump(outside_reader, writer, False)
        )


@asynccontextmanager
async def running(proxy: ConnectProxy) -> AsyncIterator[ConnectProxy]:
    """Serve on a free loopback port until the block is left."""
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, limit=MAX_HEAD)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut_tunnels()
        while proxy._tunnels:
            await asyncio.sleep(0.005)
