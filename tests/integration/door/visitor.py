"""Somebody outside, who knows a public URL and a certificate's fingerprint and nothing else."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from tests.fakes.tls_client import MemoryClient

PATIENCE = 10.0


class OneMachine(AbstractResolver):
    """A DNS in which every name leads to this machine."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        """Nothing is held."""


@asynccontextmanager
async def visitor(fingerprint: str) -> AsyncIterator[aiohttp.ClientSession]:
    """A session that takes the pinned certificate and no other."""
    pinned = aiohttp.Fingerprint(bytes.fromhex(fingerprint.replace(":", "")))
    connector = aiohttp.TCPConnector(resolver=OneMachine(), ssl=pinned)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


def any_certificate() -> ssl.SSLContext:
    """For tests that look at something else."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class RawVisit:
    """A TLS connection to a door, for what no HTTP client would do."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def rest(self) -> bytes:
        """Everything until the other end closes."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read()

    async def until(self, mark: bytes) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readuntil(mark)


@asynccontextmanager
async def raw_visit(url: str) -> AsyncIterator[RawVisit]:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", parts.port, ssl=any_certificate(), server_hostname=parts.hostname
    )
    yield RawVisit(reader, writer)
    writer.transport.abort()


@asynccontextmanager
async def plain_visit(port: int) -> AsyncIterator[RawVisit]:
    """The same without TLS."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    yield RawVisit(reader, writer)
    writer.transport.abort()


class SlowVisit:
    """A TLS connection that takes no byte before it is told to: hardly any buffer is its own."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._port = parts.port
        self._client = MemoryClient(parts.hostname)
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        self._socket.setblocking(False)
        self.received = bytearray()

    async def __aenter__(self) -> SlowVisit:
        await self._loop.sock_connect(self._socket, ("127.0.0.1", self._port))
        await self._loop.sock_sendall(self._socket, self._client.shake())
        while not self._client.shaken:
            data = await self._loop.sock_recv(self._socket, 4_096)
            await self._loop.sock_sendall(self._socket, self._client.shake(data))
        return self

    async def __aexit__(self, *failure: object) -> None:
        self._socket.close()

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._socket, self._client.send(data))

    async def receive(self) -> bool:
        """Take a little; False at the end."""
        async with asyncio.timeout(PATIENCE):
            data = await self._loop.sock_recv(self._socket, 4_096)
        self.received += self._client.read(data)
        return not self._client.ended and bool(data)
