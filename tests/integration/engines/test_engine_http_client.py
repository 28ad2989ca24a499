"""The engine HTTP client against servers that behave, misbehave and vanish."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable

import pytest

from mesh.errors import ConfigError, EngineError, EngineUnavailable
from services.engines.http_client import MAX_IDLE, HttpClient, Timeouts
from services.engines.http_connection import MAX_BUFFERED
from tests.integration.engines.conftest import Conversation, ScriptedServer

Until = Callable[..., Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def echo_ok(conversation: Conversation) -> None:
    while await conversation.request():
        conversation.send(OK)


def answering(*pieces: bytes) -> Callable[[Conversation], Awaitable[None]]:
    """Send the pieces to the first request, one by one, then close."""

    async def handler(conversation: Conversation) -> None:
        await conversation.request()
        for piece in pieces:
            conversation.send(piece)
            await conversation.writer.drain()
            await asyncio.sleep(0)

    return handler


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
