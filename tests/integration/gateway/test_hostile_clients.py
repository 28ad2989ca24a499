"""Clients that leave, stall, dribble, lie or send nonsense: each is answered, and others go on."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import orjson
import pytest

from mesh.jobs import Chunk, Finish
from node.gateway.limits import MAX_BODY, MAX_BUFFERED
from node.gateway.settings import GatewaySettings
from tests.integration.gateway.conftest import Door, Opener
from tests.integration.gateway.twins import HELLO

CHAT = {"model": "story", "messages": [{"role": "user", "content": "Hi"}]}
PATIENCE = 5.0


def request_bytes(body: bytes, *extra: str, path: str = "/v1/chat/completions") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *extra]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


STREAM = request_bytes(orjson.dumps({**CHAT, "stream": True}))
WHOLE = request_bytes(orjson.dumps(CHAT))


class Wire:
    """A raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def until(self, mark: bytes) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readuntil(mark)

    async def rest(self) -> bytes:
        """Everything until the server closes."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read()

    async def status(self) -> int:
        """Status of the next response, whose headers are consumed."""
        head = await self.until(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1])


@asynccontextmanager
async def wire_to(door: Door) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.gateway.port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()


async def still_serves(door: Door) -> None:
    door.dispatch.play(HELLO)
    assert (await door.post("/v1/chat/completions", CHAT)).status == 200


async def closed(door: Door) -> None:
    async with asyncio.timeout(1.0):
        await door.dispatch.runs[0].closed.wait()


async def test_a_client_that_leaves_mid_stream_closes_the_run(door: Door) -> None:
    door.dispatch.play([Chunk("Hel"), asyncio.Event().wait])
    async with wire_to(door) as wire:
        wire.send(STREAM)
        await wire.until(b"Hel")
    await closed(door)
    await still_serves(door)


async def test_a_client_that_leaves_while_waiting_closes_the_run(door: Door) -> None:
    door.dispatch.play([asyncio.Event().wait])
    async with wire_to(door) as wire:
        wire.send(WHOLE)
        async with asyncio.timeout(PATIENCE):
            await door.dispatch.submitted.wait()
    await closed(door)
    assert "client_disconnects_total 1" in await (await door.get("/metrics")).text()


async def test_a_half_closed_socket_counts_as_gone(door: Door) -> None:
    door.dispatch.play([asyncio.Event().wait])
    async with wire_to(door) as wire:
        wire.send(WHOLE)
        async with asyncio.timeout(PATIENCE):
            await door.dispatch.submitted.wait()
        wire.writer.write_eof()
        await closed(door)
    await still_serves(door)


async def test_a_client_that_is_gone_starts_no_pipelined_request(door: Door) -> None:
    door.dispatch.play([asyncio.Event().wait])
    async with wire_to(door) as wire:
        wire.send(WHOLE + WHOLE)
        async with asyncio.timeout(PATIENCE):
            await door.dispatch.submitted.wait()
        wire.writer.write_eof()
        await closed(door)
        await wire.rest()
    await still_serves(door)
    assert len(door.dispatch.jobs) == 2


async def test_a_client_that_does_not_read_stops_the_pulling(door: Door) -> None:
    piece = Chunk("x" * 10_000)

    def endless() -> Iterator[Chunk]:
        while True:
            yield piece

    door.dispatch.play(endless())
    receiving = socket.socket()
    receiving.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    receiving.setblocking(False)
    await asyncio.get_running_loop().sock_connect(receiving, ("127.0.0.1", door.gateway.port))
    async with wire_to_socket(receiving) as wire:
        wire.send(STREAM)
        async with asyncio.timeout(PATIENCE):
            await door.dispatch.submitted.wait()
        run = door.dispatch.runs[0]
        before = -1
        while run.pulled != before:  # each round is many turns of the loop
            before = run.pulled
            for _ in range(20):
                await still_serves_another(door)
        assert before * len(piece.text) < 1024 * 1024
        assert not run.closed.is_set()
    async with asyncio.timeout(2.0):
        await run.closed.wait()


@asynccontextmanager
async def wire_to_socket(connected: socket.socket) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection(sock=connected, limit=1024)
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()


async def still_serves_another(door: Door) -> None:
    assert (await door.get("/v1/models")).status == 200


async def test_a_client_that_never_reads_is_let_go(open_door: Opener) -> None:
    door = await open_door(GatewaySettings(stall_seconds=0.05))
    door.dispatch.play([Chunk("x" * 10_000)] * 10_000)
    receiving = socket.socket()
    receiving.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    receiving.setblocking(False)
    await asyncio.get_running_loop().sock_connect(receiving, ("127.0.0.1", door.gateway.port))
    async with wire_to_socket(receiving) as wire:
        wire.send(STREAM)
        async with asyncio.timeout(PATIENCE):
            await door.dispatch.submitted.wait()
            await door.dispatch.runs[0].closed.wait()
    await still_serves(door)


async def test_an_end_that_is_never_taken_does_not_keep_the_connection(open_door: Opener) -> None:
    door = await open_door(GatewaySettings(stall_seconds=0.05))
    door.dispatch.play([Chunk("x" * 1024)] * 300 + [Finish()])
    receiving = socket.socket()
    receiving.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    receiving.setblocking(False)
    await asyncio.get_running_loop().sock_connect(receiving, ("127.0.0.1", door.gateway.port))
    async with wire_to_socket(receiving) as wire:
        wire.send(request_bytes(orjson.dumps({**CHAT, "stream": True}), "Connection: close"))
        async with asyncio.timeout(PATIENCE):
            await door.dispatch.submitted.wait()
            await door.dispatch.runs[0].closed.wait()
            while await connections(door) > 1:
                await asyncio.sleep(0.02)


async def connections(door: Door) -> int:
    """Open client connections, the one that asks included."""
    return int((await (await door.get("/api/node")).json())["gateway"]["connections"])


async def test_headers_that_dribble_are_cut_off(open_door: Opener) -> None:
    door = await open_door(GatewaySettings(head_seconds=0.05))
    async with wire_to(door) as wire:
        wire.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: loc")
        assert await wire.status() == 408
        await wire.rest()
    await still_serves(door)


async def test_an_idle_connection_is_closed(open_door: Opener) -> None:
    door = await open_door(GatewaySettings(idle_seconds=0.05))
    async with wire_to(door) as wire:
        wire.send(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await wire.rest()).startswith(b"HTTP/1.1 200")


async def test_a_connection_on_which_nothing_begins_is_closed(open_door: Opener) -> None:
    door = await open_door(GatewaySettings(opening_seconds=0.05))
    async with wire_to(door) as wire:
        assert await wire.rest() == b""
    await still_serves(door)


async def test_a_body_that_dribbles_is_cut_off(open_door: Opener) -> None:
    door = await open_door(GatewaySettings(body_seconds=0.05))
    async with wire_to(door) as wire:
        wire.send(request_bytes(b"x" * 100)[:-50])
        assert await wire.status() == 408
        assert b"request_timeout" in await wire.rest()
    await still_serves(door)


async def test_declared_bodies_claim_no_room_before_they_arrive(door: Door) -> None:
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {MAX_BODY}"
    async with AsyncExitStack() as stack:
        for _ in range(MAX_BUFFERED // MAX_BODY + 1):
            wire = await stack.enter_async_context(wire_to(door))
            wire.send(head.encode() + b"\r\n\r\n{")
        async with asyncio.timeout(PATIENCE):
            while await connections(door) <= MAX_BUFFERED // MAX_BODY:
                await asyncio.sleep(0.02)
        await still_serves(door)


async def test_a_huge_body_is_refused_before_it_is_read(door: Door) -> None:
    async with wire_to(door) as wire:
        length = f"Content-Length: {MAX_BODY + 1}"
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n{length}\r\n\r\n"
        wire.send(head.encode() + b"x" * 100_000)
        assert await wire.status() == 413
        assert b"request_too_large" in await wire.rest()
    await still_serves(door)


async def test_a_huge_chunked_body_is_refused_at_the_limit(door: Door) -> None:
    async with wire_to(door) as wire:
        wire.send(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        piece = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        for _ in range(MAX_BODY // 0x100000 + 1):
            wire.send(piece)
        assert await wire.status() == 413
    await still_serves(door)


async def test_a_body_as_large_as_allowed_is_served(door: Door) -> None:
    filler = "x" * (MAX_BODY - 200)
    body = {"model": "story", "messages": [{"role": "user", "content": filler}]}
    url = f"{door.url}/v1/chat/completions"
    response = await door.session.post(url, data=io.BytesIO(orjson.dumps(body)))
    assert response.status == 200
    assert door.dispatch.jobs[0].messages[0]["content"] == filler


async def test_headers_that_are_too_large_are_refused(door: Door) -> None:
    async with wire_to(door) as wire:
        wire.send(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 20_000)
        assert await wire.status() == 431
        await wire.rest()
    await still_serves(door)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64) + b"\r\n\r\n",
        b"NONSENSE\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nBad Header: x\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        request_bytes(b"hello", "Content-Length: 6"),
        request_bytes(b"0\r\n\r\n", "Transfer-Encoding: chunked"),
    ],
)
async def test_what_is_not_http_is_answered_400_and_closed(door: Door, garbage: bytes) -> None:
    async with wire_to(door) as wire:
        wire.send(garbage)
        assert await wire.status() == 400
        assert orjson.loads(await wire.rest())["error_code"] == "BAD_REQUEST"
    assert not door.dispatch.jobs
    await still_serves(door)


async def test_pipelined_requests_are_answered_in_order(door: Door) -> None:
    other = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = request_bytes(orjson.dumps(CHAT), "Connection: close")
    async with wire_to(door) as wire:
        wire.send(WHOLE + other + WHOLE + last)
        text = await wire.rest()
    answers = [part.split(b"\r\n\r\n", 1)[1] for part in text.split(b"HTTP/1.1 200 OK")[1:]]
    kinds = [orjson.loads(answer)["object"] for answer in answers]
    assert kinds == ["chat.completion", "list", "chat.completion", "chat.completion"]


async def test_a_request_in_single_bytes_is_served(door: Door) -> None:
    async with wire_to(door) as wire:
        for position in range(len(WHOLE)):
            wire.send(WHOLE[position : position + 1])
            await wire.writer.drain()
            await asyncio.sleep(0)
        assert await wire.status() == 200


async def test_a_chunked_request_is_served(door: Door) -> None:
    body = orjson.dumps(CHAT)
    async with wire_to(door) as wire:
        wire.send(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        )
        assert await wire.status() == 200
        assert orjson.loads(await wire.rest())["object"] == "chat.completion"


async def test_a_client_that_waits_for_100_continue_is_told(door: Door) -> None:
    head, body = request_bytes(orjson.dumps(CHAT), "Expect: 100-continue").split(b"\r\n\r\n")
    async with wire_to(door) as wire:
        wire.send(head + b"\r\n\r\n")
        assert await wire.status() == 100
        wire.send(body)
        assert await wire.status() == 200


async def test_http_1_0_streams_until_the_close(door: Door) -> None:
    async with wire_to(door) as wire:
        wire.send(STREAM.replace(b"HTTP/1.1", b"HTTP/1.0"))
        text = await wire.rest()
    assert b"transfer-encoding" not in text.lower()
    assert text.endswith(b"data: [DONE]\n\n")


async def test_compressed_bodies_are_refused(door: Door) -> None:
    async with wire_to(door) as wire:
        wire.send(request_bytes(b"\x1f\x8b", "Content-Encoding: gzip"))
        assert await wire.status() == 415


async def test_one_connection_too_many_is_turned_away(open_door: Opener) -> None:
    door = await open_door(GatewaySettings(max_connections=2))
    async with wire_to(door) as first, wire_to(door) as second:
        for wire in (first, second):
            wire.send(WHOLE)
            assert await wire.status() == 200
        async with wire_to(door) as third:
            assert await third.status() == 503
            assert b"OVERLOADED" in await third.rest()
        first.writer.write_eof()
        assert await first.rest() != b""
        await still_serves(door)


async def test_a_plain_get_of_the_mesh_pipe_is_told_to_upgrade(open_door: Opener) -> None:
    async def unused(request: object) -> None:
        raise AssertionError("nothing was upgraded")

    door = await open_door(mesh_websocket=unused)
    response = await door.get("/mesh")
    assert response.status == 426


async def test_other_work_goes_on_beside_a_hundred_stalled_heads(door: Door) -> None:
    opened = [await asyncio.open_connection("127.0.0.1", door.gateway.port) for _ in range(100)]
    for _, writer in opened:
        writer.write(b"POST /v1/chat/comp")
    await still_serves(door)
    for _, writer in opened:
        writer.close()
