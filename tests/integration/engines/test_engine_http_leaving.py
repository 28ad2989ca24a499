"""The engine HTTP client when callers leave, stop reading, or share connections."""

from __future__ import annotations

import asyncio
import gc

import pytest

from mesh.errors import EngineUnavailable
from services.engines.http_client import HttpClient
from services.engines.http_connection import MAX_BUFFERED
from tests.integration.engines.answers import CHUNKED, OK, Until, answering, echo_ok
from tests.integration.engines.conftest import Conversation, ScriptedServer


async def test_closing_a_stream_tells_the_server_at_once(
    serve: ScriptedServer, until: Until
) -> None:
    async def handler(conversation: Conversation) -> None:
        await conversation.request()
        conversation.send(CHUNKED + b"5\r\nhello\r\n")
        await conversation.closed()

    server = await serve(handler)
    client = HttpClient(server.url)
    stream = await client.stream("GET", "/")
    await stream.read()
    stream.close()
    await until(lambda: server.open == 0, seconds=1.0)


@pytest.mark.parametrize("whole", [True, False])
async def test_cancelling_a_call_tells_the_server_at_once(
    serve: ScriptedServer, until: Until, whole: bool
) -> None:
    asked = asyncio.Event()

    async def handler(conversation: Conversation) -> None:
        await conversation.request()
        asked.set()
        await conversation.closed()

    server = await serve(handler)
    client = HttpClient(server.url)
    call = client.fetch("GET", "/") if whole else client.stream("GET", "/")
    task = asyncio.get_running_loop().create_task(call)
    await asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: server.open == 0, seconds=1.0)


async def test_a_reader_that_stops_stops_the_server(serve: ScriptedServer, until: Until) -> None:
    """What was taken unread: our buffer, and the kernel's, which the client has bounded."""
    block = b"x" * 16384
    blocks = 4000
    sent = 0

    async def handler(conversation: Conversation) -> None:
        nonlocal sent
        sock = conversation.writer.get_extra_info("socket")
        sock.setsockopt(1, 7, 65536)  # SOL_SOCKET, SO_SNDBUF: the server's own share
        conversation.writer.transport.set_write_buffer_limits(high=65536)
        await conversation.request()
        conversation.send(CHUNKED)
        for _ in range(blocks):
            conversation.send(b"4000\r\n" + block + b"\r\n")
            await conversation.writer.drain()
            sent += len(block)
        conversation.send(b"0\r\n\r\n")
        await conversation.writer.drain()
        await conversation.closed()

    server = await serve(handler)
    client = HttpClient(server.url)
    stream = await client.stream("GET", "/")
    await until(lambda: sent > MAX_BUFFERED)
    before = -1
    while before != sent:  # until the server stands still
        before = sent
        await asyncio.sleep(0.05)
    assert sent < 2 * 1024 * 1024
    received = 0
    while piece := await stream.read():
        received += len(piece)
    assert received == blocks * len(block)
    await client.close()


async def test_bytes_on_an_idle_connection_end_it(serve: ScriptedServer, until: Until) -> None:
    async def handler(conversation: Conversation) -> None:
        await conversation.request()
        conversation.send(OK)
        if conversation.number == 0:
            await conversation.writer.drain()
            await asyncio.sleep(0.01)
            conversation.send(OK)
        await conversation.closed()

    server = await serve(handler)
    client = HttpClient(server.url)
    await client.fetch("GET", "/")
    await until(lambda: server.open == 0)
    assert (await client.fetch("GET", "/")).body == b"hello"
    assert server.accepted == 2
    await client.close()


async def test_two_answers_to_one_request_end_the_connection(serve: ScriptedServer) -> None:
    server = await serve(answering(OK + OK.replace(b"hello", b"WRONG")))
    client = HttpClient(server.url)
    for _ in range(2):
        assert (await client.fetch("GET", "/")).body == b"hello"
    stream = await client.stream("GET", "/")
    assert await stream.read() == b"hello"
    assert await stream.read() == b""
    assert server.accepted == 3
    await client.close()


async def test_a_lingering_answer_gives_its_connection_back(
    serve: ScriptedServer, until: Until
) -> None:
    go_on = asyncio.Event()

    async def handler(conversation: Conversation) -> None:
        await conversation.request()
        conversation.send(CHUNKED + b"5\r\nhello\r\n")
        await go_on.wait()
        conversation.send(b"4\r\nrest\r\n0\r\n\r\n")
        while await conversation.request():
            conversation.send(OK)

    server = await serve(handler)
    client = HttpClient(server.url)
    stream = await client.stream("GET", "/")
    assert await stream.read() == b"hello"
    stream.linger()
    stream.close()  # harmless after linger
    assert await stream.read() == b""
    go_on.set()
    await until(lambda: bool(client._idle))
    assert (await client.fetch("GET", "/")).body == b"hello"
    assert server.accepted == 1
    await client.close()


async def test_a_lingering_answer_that_goes_on_is_cut_off(
    serve: ScriptedServer, until: Until
) -> None:
    async def handler(conversation: Conversation) -> None:
        await conversation.request()
        conversation.send(CHUNKED)
        while not conversation.writer.is_closing():
            conversation.send(b"400\r\n" + b"x" * 1024 + b"\r\n")
            await conversation.writer.drain()

    server = await serve(handler)
    client = HttpClient(server.url)
    stream = await client.stream("GET", "/")
    await stream.read()
    stream.linger()
    await until(lambda: server.open == 0, seconds=1.0)


async def test_redirects_are_not_followed(serve: ScriptedServer) -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    server = await serve(answering(moved))
    client = HttpClient(server.url)
    assert (await client.fetch("GET", "/")).status == 302


async def test_closing_the_client_ends_what_runs(serve: ScriptedServer) -> None:
    async def handler(conversation: Conversation) -> None:
        await conversation.request()
        conversation.send(CHUNKED)
        await conversation.closed()

    server = await serve(handler)
    client = HttpClient(server.url)
    stream = await client.stream("GET", "/")
    await client.close()
    with pytest.raises(EngineUnavailable):
        await stream.read()
    with pytest.raises(EngineUnavailable, match="closed"):
        await client.fetch("GET", "/")


async def test_answers_of_two_exchanges_never_mix(serve: ScriptedServer) -> None:
    """A body that is complete but unread keeps its connection out of the pool."""

    async def handler(conversation: Conversation) -> None:
        while request := await conversation.request():
            word = request.split(b" ")[1][1:]
            conversation.send(CHUNKED + b"3\r\n" + word + b"\r\n0\r\n\r\n")

    server = await serve(handler)
    client = HttpClient(server.url)
    first = await client.stream("GET", "/one")
    await asyncio.sleep(0.02)  # all of it has come
    assert (await client.fetch("GET", "/two")).body == b"two"
    assert await first.read() == b"one"
    assert await first.read() == b""
    first.close()
    assert (await client.fetch("GET", "/six")).body == b"six"
    assert server.accepted == 2
    await client.close()


async def test_a_stream_left_alone_does_not_harm_the_next_user(serve: ScriptedServer) -> None:
    server = await serve(echo_ok)
    client = HttpClient(server.url)
    stream = await client.stream("GET", "/")
    await stream.read()
    following = await client.stream("GET", "/")
    stream.close()  # its connection serves `following` now
    assert await following.read_all(100) == b"hello"
    assert server.accepted == 1
    await client.close()
    gc.collect()
