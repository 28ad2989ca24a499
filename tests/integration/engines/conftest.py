"""Servers whose every byte a test decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from ssl import SSLContext

import pytest

from tests.fakes.ollama_server import FakeOllama
from tests.fakes.openai_server import FakeOpenAI

Handler = Callable[["Conversation"], Awaitable[None]]


@dataclass
class Conversation:
    """One accepted connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int
    """0 for the first connection the server accepted."""

    async def request(self) -> bytes:
        """The next request, head and body; b"" when the client has gone."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        lowered = head.lower()
        if b"content-length:" not in lowered:
            return head
        length = int(lowered.split(b"content-length:")[1].split(b"\r\n")[0])
        return head + await self.reader.readexactly(length)

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def closed(self) -> None:
        """Until the client has closed its side."""
        with suppress(ConnectionError):
            while await self.reader.read(65536):
                pass


@dataclass
class Scripted:
    """Counts what clients do."""

    url: str = ""
    accepted: int = 0
    open: int = 0
    errors: list[BaseException] = field(default_factory=list)


class ScriptedServer:
    """Starts servers that run a handler for each connection."""

    def __init__(self) -> None:
        self._servers: list[asyncio.Server] = []
        self._running: set[asyncio.Task[None]] = set()

    async def __call__(self, handler: Handler, *, ssl: SSLContext | None = None) -> Scripted:
        seen = Scripted()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            number, seen.accepted = seen.accepted, seen.accepted + 1
            seen.open += 1
            task = asyncio.current_task()
            assert task is not None
            self._running.add(task)
            try:
                with suppress(ConnectionError, asyncio.CancelledError):
                    await handler(Conversation(reader, writer, number))
            except AssertionError as error:
                seen.errors.append(error)
            finally:
                self._running.discard(task)
                seen.open -= 1
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=ssl)
        self._servers.append(server)
        scheme = "https" if ssl else "http"
        seen.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return seen

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        for task in tuple(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)
        for server in self._servers:
            await server.wait_closed()


@pytest.fixture
async def serve() -> AsyncIterator[ScriptedServer]:
    """`await serve(handler)` starts a server on a free port."""
    servers = ScriptedServer()
    yield servers
    await servers.close()


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait for a condition, in small steps. Fails the test after `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture(name="until")
def until_fixture() -> Callable[..., Awaitable[None]]:
    """`await until(lambda: ..., seconds=5.0)`."""
    return until


@pytest.fixture
async def vllm() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI("vllm") as fake:
        yield fake


@pytest.fixture
async def llama_cpp() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI("llama.cpp", model="/models/Tiny-7B-Q4_K_M.gguf", slots=3) as fake:
        yield fake


@pytest.fixture
async def ollama() -> AsyncIterator[FakeOllama]:
    async with FakeOllama() as fake:
        yield fake
