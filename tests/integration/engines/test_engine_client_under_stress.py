"""Many calls at once over a server that dawdles and hangs up: every answer is for its own call."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from mesh.errors import EngineUnavailable
from services.engines.http_client import MAX_IDLE, HttpClient
from tests.integration.engines.conftest import Conversation, ScriptedServer

CALLS = 400
AT_ONCE = 24


def flaky(rng: Random) -> object:
    """Answers with the number in the path, in pieces; sometimes it hangs up instead."""

    async def handler(conversation: Conversation) -> None:
        while request := await conversation.request():
            number = request.split(b" ")[1][1:]
            if rng.random() < 0.1:
                return
            body = number * rng.randint(1, 5000)
            conversation.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for start in range(0, len(body), 4000):
                piece = body[start : start + 4000]
                conversation.send(b"%x\r\n%s\r\n" % (len(piece), piece))
                await conversation.writer.drain()
                await asyncio.sleep(rng.choice((0, 0, 0.001)))
                if rng.random() < 0.02:
                    return
            conversation.send(b"0\r\n\r\n")

    return handler


class Caller:
    """Makes calls one after another, each in a way drawn by chance."""

    def __init__(self, client: HttpClient, rng: Random) -> None:
        self._client = client
        self._rng = rng
        self.answered = 0

    async def call(self, number: int) -> None:
        how = self._rng.choice(("fetch", "read", "leave", "linger", "cancel"))
        path = f"/{number:04}"
        try:
            async with asyncio.timeout(0.003 if how == "cancel" else 10.0):
                if how in ("fetch", "cancel"):
                    self._check(number, (await self._client.fetch("GET", path)).body)
                else:
                    await self._stream(number, path, how)
        except (EngineUnavailable, TimeoutError):
            return

    async def _stream(self, number: int, path: str, how: str) -> None:
        stream = await self._client.stream("GET", path)
        try:
            if how == "read":
                self._check(number, await stream.read_all(1_000_000))
            else:
                piece = await stream.read()
                assert piece.startswith(b"%04d" % number)
            if how == "linger":
                stream.linger()
        finally:
            stream.close()

    def _check(self, number: int, body: bytes) -> None:
        assert body == b"%04d" % number * (len(body) // 4)
        self.answered += 1


@pytest.mark.parametrize("seed", range(3))
async def test_answers_never_get_mixed_up(serve: ScriptedServer, seed: int) -> None:
    rng = Random(seed)
    server = await serve(flaky(rng))  # type: ignore[arg-type]
    client = HttpClient(server.url)
    caller = Caller(client, rng)
    numbers = iter(range(CALLS))

    async def work() -> None:
        for number in numbers:
            await caller.call(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(work())
    assert caller.answered > CALLS / 10
    assert not server.errors
    async with asyncio.timeout(3.0):
        while server.open > MAX_IDLE:
            await asyncio.sleep(0.01)
    await client.close()
    async with asyncio.timeout(3.0):
        while server.open:
            await asyncio.sleep(0.01)


async def test_empty_answers_keep_their_own_headers(serve: ScriptedServer) -> None:
    """An answer without a body is complete before its caller has woken up."""

    async def handler(conversation: Conversation) -> None:
        while request := await conversation.request():
            number = request.split(b" ")[1][1:]
            head = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Number: " + number
            conversation.send(head + b"\r\n\r\n")

    server = await serve(handler)
    client = HttpClient(server.url)
    numbers = iter(range(CALLS))

    async def work() -> None:
        for number in numbers:
            if number % 2:
                answer = await client.fetch("GET", f"/{number}")
                assert answer.headers[b"x-number"] == b"%d" % number
                continue
            stream = await client.stream("GET", f"/{number}")
            assert stream.headers[b"x-number"] == b"%d" % number
            assert await stream.read() == b""
            stream.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(work())
    assert server.accepted <= 8
    await client.close()
