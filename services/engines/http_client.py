"""The HTTP client for engine calls: the hot path of a worker, so as little as will do.

Measured against aiohttp's client in `benchmarks/engine_client.py`; figures in
docs/adr/0030-engine-http-client.md.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from mesh.errors import ConfigError, EngineError, EngineUnavailable
from services.engines.http_connection import MAX_BUFFERED, READ_SIZE, Connection, StaleConnection

Method = Literal["GET", "POST"]

MAX_IDLE = 256
"""Kept-alive connections without an exchange; each costs a socket here and at the engine."""
IDLE_SECONDS = 60.0
"""An idle connection older than this is closed instead of used."""
MAX_BODY = 64 * 1024 * 1024
"""Bytes of an answer that is read whole."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. `first_byte` is long because an engine may load a model before it answers."""

    connect: float = 2.0
    first_byte: float = 600.0
    silence: float = 300.0
    """Between two pieces of a body, while somebody waits for them."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete response. Header names are lower case."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


class Stream:
    """A response whose body is read piece by piece. `close` or `linger` must end it."""

    def __init__(self, connection: Connection, silence: float) -> None:
        self.status = connection.status
        self.headers = connection.headers
        self._connection = connection
        self._exchange = connection.exchanges
        self._silence = silence
        self._left = False

    async def read(self) -> bytes:
        """The next bytes, as they came; b"" at the end. Raises EngineError."""
        if self._over:
            return b""
        return await self._connection.read(self._silence)

    async def read_all(self, limit: int) -> bytes:
        """The rest of the body. Raises EngineError when it is longer than `limit` bytes."""
        pieces: list[bytes] = []
        size = 0
        while piece := await self.read():
            size += len(piece)
            if size > limit:
                self.close()
                raise EngineError(f"{self._connection.origin} sent more than {limit} bytes")
            pieces.append(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Done with this answer: an unfinished one is cancelled at the engine at once."""
        if not self._over:
            self._connection.discard()

    def linger(self) -> None:
        """Done, and the engine is too: keep the connection if the body ends within a second."""
        if not self._over:
            self._connection.linger()
            self._left = True

    @property
    def _over(self) -> bool:
        """Left, or the connection already serves somebody else's exchange."""
        return self._left or self._connection.exchanges != self._exchange


class HttpClient:
    """Calls one origin. At most MAX_IDLE idle connections; no redirects, no cookies, no proxies.

    Raises ConfigError for a URL that is not http(s) or that carries a user, a query or a
    fragment. After any error the client goes on working.
    """

    def __init__(self, url: str, *, api_key: str = "", timeouts: Timeouts | None = None) -> None:
        parts = check_url(url)
        secure = parts.scheme == "https"
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if secure else 80)
        self._ssl = ssl.create_default_context() if secure else None
        self._prefix = parts.path.rstrip("/")
        self._head = _fixed_head(parts.netloc, api_key)
        self._timeouts = timeouts or Timeouts()
        self._idle: list[Connection] = []
        self._live: set[Connection] = set()
        self._buffer = bytearray(READ_SIZE)
        self._closed = False

    async def fetch(
        self,
        method: Method,
        path: str,
        body: bytes = b"",
        *,
        limit: int = MAX_BODY,
        seconds: float | None = None,
    ) -> Answer:
        """One whole exchange within `seconds` (default: the first-byte timeout).

        Raises EngineUnavailable when no answer came, EngineError when it is no HTTP or too long.
        """
        request = self._render(method, path, body)
        connection = await self._exchange(request, limit, True, seconds)
        if not connection.complete:
            connection.abort()
            raise EngineError(f"{self.origin} sent more than {limit} bytes")
        return Answer(connection.status, connection.headers, connection.take())

    async def stream(self, method: Method, path: str, body: bytes = b"") -> Stream:
        """Start an exchange and return at its headers. Raises as `fetch`."""
        request = self._render(method, path, body)
        connection = await self._exchange(request, MAX_BUFFERED, False, None)
        return Stream(connection, self._timeouts.silence)

    async def close(self) -> None:
        """Close every connection; running exchanges end with EngineUnavailable."""
        self._closed = True
        self._idle.clear()
        for connection in tuple(self._live):
            connection.abort()

    def _render(self, method: Method, path: str, body: bytes) -> bytes:
        line = f"{method} {self._prefix}{path} HTTP/1.1\r\n".encode("ascii")
        if method == "GET":
            return line + self._head + b"\r\n"
        length = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        return line + self._head + length + body

    async def _exchange(
        self, request: bytes, hold: int, whole: bool, seconds: float | None
    ) -> Connection:
        patience = self._timeouts.first_byte if seconds is None else seconds
        connection = self._reuse() or await self._connect()
        connection.send(request, hold=hold, whole=whole)
        try:
            await connection.wait_head(patience)
        except StaleConnection:
            # The server closed an idle connection just then (RFC 9112 9.3.1). Once, and fresh.
            connection = await self._connect()
            connection.send(request, hold=hold, whole=whole)
            await connection.wait_head(patience)
        return connection

    def _reuse(self) -> Connection | None:
        """The idle connection used last, unless it is too old; then the others are older still."""
        oldest = asyncio.get_running_loop().time() - IDLE_SECONDS
        while self._idle:
            connection = self._idle.pop()
            if connection.open and connection.idle_since > oldest:
                return connection
            connection.abort()
        return None

    async def _connect(self) -> Connection:
        if self._closed:
            raise EngineUnavailable(f"{self.origin}: this client is closed")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeouts.connect):
                _, connection = await loop.create_connection(
                    lambda: Connection(self.origin, self._buffer, self._release),
                    self._host,
                    self._port,
                    ssl=self._ssl,
                )
        except OSError as error:  # refused, unreachable, unresolved, timed out, TLS refused
            raise EngineUnavailable(f"{self.origin} cannot be reached: {_reason(error)}") from error
        self._live.add(connection)
        return connection

    def _release(self, connection: Connection) -> None:
        """Called by a connection when it may be used again, and when it has ended."""
        if connection.open and not self._closed:
            if len(self._idle) >= MAX_IDLE:
                connection.abort()
                return
            connection.idle_since = asyncio.get_running_loop().time()
            self._idle.append(connection)
            return
        self._live.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)


def check_url(url: str) -> SplitResult:
    """Take an engine's URL apart. Raises ConfigError unless it is a plain http(s) URL."""
    allowed = "use http://HOST[:PORT][/PATH] or https://…, without user, query or fragment"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise ConfigError("engine", url[:200], allowed) from None
    clean = url.isascii() and url.isprintable() and " " not in url
    if not usable or not clean or "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError("engine", url[:200], allowed)
    return parts


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})"
    if isinstance(error, ssl.SSLError | socket.gaierror) or not error.errno:
        return error.strerror or str(error)
    return os.strerror(error.errno)


def _fixed_head(host: str, api_key: str) -> bytes:
    """The header lines every request shares. Raises ConfigError for a key no header can carry."""
    lines = [f"Host: {host}", "User-Agent: electrons", "Accept-Encoding: identity"]
    if api_key:
        if not api_key.isascii() or not api_key.isprintable():
            raise ConfigError("api_key", "…", "use printable ASCII characters")
        lines.append(f"Authorization: Bearer {api_key}")
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")
