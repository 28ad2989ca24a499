"""The engine HTTP client against servers that behave, misbehave and vanish."""

from __future__ import annotations

import asyncio

import pytest

from mesh.errors import ConfigError, EngineError, EngineUnavailable
from services.engines.http_client import MAX_IDLE, HttpClient, Timeouts
from tests.integration.engines.answers import CHUNKED, OK, Until, answering, echo_ok
from tests.integration.engines.conftest import Conversation, ScriptedServer


@pytest.mark.parametrize(
    ("pieces", "body"),
    [
        ((OK,), b"hello"),
        (tuple(OK[i : i + 1] for i in range(len(OK))), b"hello"),
        ((CHUNKED, b"3\r\nhel\r\n", b"2\r\nlo\r\n0\r\n\r\n"), b"hello"),
        ((CHUNKED + b"5;ext=1\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",), b"hello"),
        ((b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo"), b"hello"),
        ((b"HTTP/1.1 100 Continue\r\n\r\n", OK), b"hello"),
        ((b"HTTP/1.1 204 No Content\r\n\r\n",), b""),
    ],
    ids=["length", "byte-by-byte", "chunked", "extension-trailer", "until-close", "100", "204"],
)
async def test_every_framing_of_a_body_is_read(
    serve: ScriptedServer, pieces: tuple[bytes, ...], body: bytes
) -> None:
    server = await serve(answering(*pieces))
    client = HttpClient(server.url)
    assert (await client.fetch("GET", "/")).body == body
    await client.close()


async def test_a_request_is_what_http_asks_for(serve: ScriptedServer) -> None:
    seen: list[bytes] = []

    async def handler(conversation: Conversation) -> None:
        while request := await conversation.request():
            seen.append(request)
            conversation.send(OK)

    server = await serve(handler)
    client = HttpClient(server.url + "/prefix/", api_key="sk-1")
    await client.fetch("POST", "/v1/x", b'{"a":1}')
    await client.fetch("GET", "/y")
    await client.close()
    host = server.url.removeprefix("http://").encode()
    head, _, body = seen[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /prefix/v1/x HTTP/1.1"
    assert set(lines[1:]) >= {
        b"Host: " + host,
        b"Authorization: Bearer sk-1",
        b"Content-Type: application/json",
        b"Content-Length: 7",
    }
    assert body == b'{"a":1}'
    assert seen[1].startswith(b"GET /prefix/y HTTP/1.1\r\n")
    assert b"Content-Length" not in seen[1]


async def test_connections_are_kept_and_used_again(serve: ScriptedServer) -> None:
    server = await serve(echo_ok)
    client = HttpClient(server.url)
    for _ in range(5):
        await client.fetch("GET", "/")
    assert server.accepted == 1
    await client.close()


async def test_idle_connections_are_bounded(serve: ScriptedServer, until: Until) -> None:
    waiting = 0
    everybody = asyncio.Event()

    async def handler(conversation: Conversation) -> None:
        nonlocal waiting
        while await conversation.request():
            waiting += 1
            if waiting == MAX_IDLE + 8:
                everybody.set()
            await everybody.wait()
            conversation.send(OK)

    server = await serve(handler)
    client = HttpClient(server.url)
    async with asyncio.TaskGroup() as group:
        for _ in range(MAX_IDLE + 8):
            group.create_task(client.fetch("GET", "/"))
    await until(lambda: server.open == MAX_IDLE)
    await client.close()
    await until(lambda: server.open == 0)


async def test_a_connection_that_went_stale_is_replaced_once(serve: ScriptedServer) -> None:
    async def handler(conversation: Conversation) -> None:
        await conversation.request()
        conversation.send(OK)
        await conversation.request()  # and closes without a word, as after a keep-alive timeout

    server = await serve(handler)
    client = HttpClient(server.url)
    await client.fetch("POST", "/", b"1")
    assert (await client.fetch("POST", "/", b"2")).body == b"hello"
    assert server.accepted == 2
    await client.close()


async def test_a_fresh_connection_without_an_answer_is_not_tried_again(
    serve: ScriptedServer,
) -> None:
    async def handler(conversation: Conversation) -> None:
        await conversation.request()

    server = await serve(handler)
    client = HttpClient(server.url)
    with pytest.raises(EngineUnavailable, match="without an answer"):
        await client.fetch("POST", "/", b"1")
    assert server.accepted == 1


async def test_a_request_is_not_repeated_once_a_byte_came(serve: ScriptedServer) -> None:
    async def handler(conversation: Conversation) -> None:
        await conversation.request()
        conversation.send(OK)
        await conversation.request()
        conversation.send(b"HTTP/1.1 2")

    server = await serve(handler)
    client = HttpClient(server.url)
    await client.fetch("POST", "/", b"1")
    with pytest.raises(EngineUnavailable, match="middle of an answer"):
        await client.fetch("POST", "/", b"2")
    assert server.accepted == 1


async def test_an_end_in_the_middle_of_a_body_is_an_error(serve: ScriptedServer) -> None:
    server = await serve(answering(CHUNKED + b"5\r\nhello\r\n"))
    client = HttpClient(server.url)
    stream = await client.stream("GET", "/")
    assert await stream.read() == b"hello"
    with pytest.raises(EngineUnavailable):
        await stream.read()


async def test_nobody_there(unused_port: int) -> None:
    client = HttpClient(f"http://127.0.0.1:{unused_port}")
    with pytest.raises(EngineUnavailable, match="cannot be reached: Connection refused"):
        await client.fetch("GET", "/")


@pytest.fixture
async def unused_port(serve: ScriptedServer) -> int:
    """A port where nobody listens any more."""
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


async def test_silence_before_the_answer_times_out_and_frees_the_server(
    serve: ScriptedServer, until: Until
) -> None:
    async def handler(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.closed()

    server = await serve(handler)
    client = HttpClient(server.url)
    with pytest.raises(EngineUnavailable, match="in time"):
        await client.fetch("GET", "/", seconds=0.05)
    await until(lambda: server.open == 0, seconds=1.0)


async def test_silence_inside_an_answer_times_out(serve: ScriptedServer) -> None:
    async def handler(conversation: Conversation) -> None:
        await conversation.request()
        conversation.send(CHUNKED + b"5\r\nhello\r\n")
        await conversation.closed()

    server = await serve(handler)
    client = HttpClient(server.url, timeouts=Timeouts(silence=0.05))
    stream = await client.stream("GET", "/")
    assert await stream.read() == b"hello"
    with pytest.raises(EngineUnavailable, match="in time"):
        await stream.read()


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        CHUNKED + b"zz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    ],
    ids=["ssh", "length", "chunk", "upgrade"],
)
async def test_what_is_no_http_is_an_engine_error(serve: ScriptedServer, answer: bytes) -> None:
    server = await serve(answering(answer))
    client = HttpClient(server.url)
    with pytest.raises(EngineError, match="HTTP"):
        await client.fetch("GET", "/")


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 8192),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 1000),
        (CHUNKED + b"5\r\nhello\r\n0\r\nTrailer: ", b"x" * 8192),
        (CHUNKED + b"5;", b"x" * 8192),
    ],
    ids=["one-header", "many-headers", "trailer", "chunk-extension"],
)
async def test_headers_without_end_are_cut_off(
    serve: ScriptedServer, start: bytes, more: bytes
) -> None:
    sent = 0

    async def handler(conversation: Conversation) -> None:
        nonlocal sent
        await conversation.request()
        conversation.send(start)
        while not conversation.writer.is_closing():
            conversation.send(more)
            await conversation.writer.drain()
            sent += len(more)
            assert sent < 64 * 1024 * 1024
            await asyncio.sleep(0)

    server = await serve(handler)
    client = HttpClient(server.url)
    with pytest.raises(EngineError):
        await client.fetch("GET", "/")
    assert not server.errors


async def test_a_body_beyond_the_limit_is_cut_off(serve: ScriptedServer, until: Until) -> None:
    async def handler(conversation: Conversation) -> None:
        await conversation.request()
        conversation.send(CHUNKED)
        while not conversation.writer.is_closing():
            conversation.send(b"2000\r\n" + b"x" * 8192 + b"\r\n")
            await conversation.writer.drain()

    server = await serve(handler)
    client = HttpClient(server.url)
    with pytest.raises(EngineError, match="more than 1000 bytes"):
        await client.fetch("GET", "/", limit=1000)
    stream = await client.stream("GET", "/")
    with pytest.raises(EngineError, match="more than 1000 bytes"):
        await stream.read_all(1000)
    await until(lambda: server.open == 0, seconds=1.0)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/",
        "127.0.0.1:8000",
        "http://",
        "http://user:secret@127.0.0.1/",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1/?a=b",
        "http://127.0.0.1/#x",
        "http://127.0.0.1/a b",
        "http://127.0.0.1/\r\nX: y",
    ],
)
def test_unusable_urls_are_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        HttpClient(url)


@pytest.mark.parametrize("key", ["a\r\nX: y", "schlüssel"])
def test_a_key_no_header_can_carry_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        HttpClient("http://127.0.0.1", api_key=key)
    assert key not in str(caught.value)
