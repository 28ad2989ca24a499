"""`GET /mesh` of an HTTP server: the same handshake, and the same manners with strangers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from aiohttp import ClientSession, WSMsgType, WSServerHandshakeError, web

from mesh.errors import DialError
from mesh.links.pool import LinkPool
from mesh.ports import StreamKind
from tests.integration.links.peers import MakePool, echo, eventually


@dataclass
class Port:
    pool: LinkPool
    url: str


@pytest.fixture
async def port(make_pool: MakePool) -> AsyncIterator[Port]:
    """A pool that is reached through HTTP only."""
    pool = await make_pool(listen=None, handshake_timeout=0.3)
    pool.serve(StreamKind.DHT, echo)
    app = web.Application()
    app.router.add_get("/mesh", pool.accept_websocket)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield Port(pool, f"ws://127.0.0.1:{runner.addresses[0][1]}/mesh")
    await pool.close()
    await runner.cleanup()


async def assert_serves(port: Port, make_pool: MakePool) -> None:
    peer = await make_pool()
    link = await peer.connect(port.pool.node_id, [port.url])
    assert await link.call(StreamKind.DHT, b"x" * 100_000, timeout=2) == b"x" * 100_000


async def test_a_node_behind_http_only_links_and_serves(port: Port, make_pool: MakePool) -> None:
    assert port.pool.addresses == ()
    await assert_serves(port, make_pool)
    peer = await make_pool()
    link = await peer.connect(None, [port.url])
    assert link.remote.startswith("ws://")
    back = port.pool.get(peer.node_id)
    assert back is not None
    peer.serve(StreamKind.STATUS, echo)
    assert await back.call(StreamKind.STATUS, b"dialled back", timeout=2) == b"dialled back"


async def test_web_pages_are_kept_out(port: Port, make_pool: MakePool) -> None:
    async with ClientSession() as session:
        with pytest.raises(WSServerHandshakeError) as refused:
            await session.ws_connect(port.url, origin="http://evil.example")
    assert refused.value.status == 403
    assert port.pool.metrics.bytes_in == 0
    await assert_serves(port, make_pool)


async def test_plain_requests_are_refused(port: Port, make_pool: MakePool) -> None:
    async with ClientSession() as session, session.get(port.url.replace("ws:", "http:")) as answer:
        assert answer.status == 400
    await assert_serves(port, make_pool)


@pytest.mark.parametrize("message", ["text", b"garbage", b"\x16\x03\x01" + b"x" * 300_000])
async def test_strangers_are_hung_up_on(
    port: Port, make_pool: MakePool, message: str | bytes
) -> None:
    async with ClientSession() as session, session.ws_connect(port.url) as socket:
        if isinstance(message, str):
            await socket.send_str(message)
        else:
            await socket.send_bytes(message)
        async with asyncio.timeout(3):
            while (await socket.receive()).type is WSMsgType.BINARY:
                pass
    await eventually(lambda: port.pool.metrics.handshakes_failed["HandshakeError"] == 1)
    await assert_serves(port, make_pool)


async def test_silence_is_hung_up_on(port: Port, make_pool: MakePool) -> None:
    async with ClientSession() as session, session.ws_connect(port.url) as socket:
        async with asyncio.timeout(3):
            assert (await socket.receive()).type is WSMsgType.CLOSE
    await assert_serves(port, make_pool)


async def test_a_link_over_http_ends_cleanly(port: Port, make_pool: MakePool) -> None:
    peer = await make_pool()
    link = await peer.connect(None, [port.url])
    await eventually(lambda: port.pool.all())
    await peer.close()
    assert link.ended is not None
    await eventually(lambda: port.pool.metrics.links_closed == {"clean": 1})


async def test_a_wrong_path_is_named(port: Port, make_pool: MakePool) -> None:
    peer = await make_pool()
    with pytest.raises(DialError, match=r"/elsewhere.*404"):
        await peer.connect(None, [port.url.replace("/mesh", "/elsewhere")])


async def test_a_stopping_node_says_so(port: Port, make_pool: MakePool) -> None:
    await port.pool.close()
    peer = await make_pool()
    with pytest.raises(DialError, match="503"):
        await peer.connect(None, [port.url])


async def test_a_peer_that_reads_nothing_is_cut_when_the_pool_closes(
    port: Port, make_pool: MakePool
) -> None:
    peer = await make_pool()
    link = await peer.connect(None, [port.url])
    link._pipe.pause_reading()
    back = port.pool.get(peer.node_id)
    assert back is not None
    stream = back.open(StreamKind.BLOB)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            while True:
                await stream.send(b"x" * 100_000)
    async with asyncio.timeout(3):
        await port.pool.close()
    link._pipe.resume_reading()
    await eventually(lambda: link.closed)
