"""The HTTP proxy of an office: CONNECT to the ports of TLS, and nothing else (RFC 9110, 9.3.6).

It lives on a home router of the lab: clients come from the LAN, what it opens leaves by the WAN.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass, field

from chaos.namespaces import Namespace
from chaos.nat_lab import Home
from chaos.nat_rules import PROXY_PORT

TLS_PORTS = frozenset({443, 8443})
HEAD_SECONDS = 10.0
READ_BYTES = 1 << 16


@dataclass
class Passed:
    """What went through."""

    tunnels: int = 0
    refused: list[str] = field(default_factory=list)
    """Request lines of what was not let through."""


class ConnectProxy:
    """Use as an async context manager."""

    def __init__(self, home: Home) -> None:
        self.url = f"http://{home.inside}:{PROXY_PORT}"
        self.passed = Passed()
        self._router: Namespace = home.router
        self._inside = home.inside
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> ConnectProxy:
        with self._router.inside():
            door = socket.create_server((self._inside, PROXY_PORT))
        self._server = await asyncio.start_server(self._serve, sock=door)
        return self

    async def __aexit__(self, *failure: object) -> None:
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                target = read_target(head)
                if target is None:
                    self.passed.refused.append(head.split(b"\r\n")[0].decode("latin-1"))
                    writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
                    return
                out_reader, out_writer = await self._leave(*target)
            self.passed.tunnels += 1
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self._open.add(out_writer)
            async with asyncio.TaskGroup() as group:
                group.create_task(_pour(reader, out_writer))
                group.create_task(_pour(out_reader, writer))
            out_writer.close()
        except (OSError, TimeoutError, EOFError):
            writer.transport.abort()
        finally:
            writer.close()
            self._open.discard(writer)

    async def _leave(
        self, host: str, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        with self._router.inside():
            way = socket.socket()
        way.setblocking(False)
        await asyncio.get_running_loop().sock_connect(way, (host, port))
        return await asyncio.open_connection(sock=way)


def read_target(head: bytes) -> tuple[str, int] | None:
    """Host and port that a request may be let through to; None when it may not."""
    words = head.split(b"\r\n")[0].decode("latin-1").split()
    if len(words) != 3 or words[0] != "CONNECT":
        return None
    host, colon, port = words[1].rpartition(":")
    if not (colon and host and port.isdecimal() and int(port) in TLS_PORTS):
        return None
    return host, int(port)


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until either end is gone; then the other end learns it."""
    try:
        while data := await reader.read(READ_BYTES):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.transport.abort()
