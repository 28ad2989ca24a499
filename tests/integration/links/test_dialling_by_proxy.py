"""Links through an HTTP proxy, which alone knows the names that are dialled here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web

from mesh.errors import DialError
from mesh.identity.keys import NodeKey
from mesh.links import outbound
from mesh.links.pipe import parse_address
from mesh.links.pool import LinkPool
from mesh.links.proxy import ProxyRoutes, parse_proxy
from mesh.links.tcp import dial_tcp
from mesh.ports import StreamKind
from tests.fakes.connect_proxy import ConnectProxy, running
from tests.integration.links.peers import MakePool, echo

NAME = "node-a.test"
"""Reserved (RFC 6761, 6.2): no resolver knows it."""


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as exits:
        yield exits


async def serving(make_pool: MakePool) -> LinkPool:
    pool = await make_pool()
    pool.serve(StreamKind.DHT, echo)
    return pool


async def websocket_port(pool: LinkPool, stack: AsyncExitStack) -> int:
    """An HTTP port with the pool's /mesh."""
    application = web.Application()
    application.router.add_get("/mesh", pool.accept_websocket)
    runner = web.AppRunner(application)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port: int = runner.addresses[0][1]
    return port


def behind(proxy: ConnectProxy, credentials: str = "") -> dict[str, Any]:
    url = proxy.url.replace("://", f"://{credentials}@") if credentials else proxy.url
    found = parse_proxy(url)
    return {"proxies": ProxyRoutes(found, found), "listen": None}


async def assert_echoes(pool: LinkPool, node: LinkPool, url: str) -> None:
    link = await pool.connect(node.node_id, [url])
    assert link.peer == node.node_id
    assert link.dialled_address == url
    answer = await link.call(StreamKind.DHT, b"x" * 10_000, timeout=5)
    assert answer == b"x" * 10_000


@pytest.mark.parametrize("scheme", ["tcp", "ws"])
@pytest.mark.parametrize("cut", [False, True])
async def test_a_link_comes_up_through_the_proxy_only(
    make_pool: MakePool, stack: AsyncExitStack, scheme: str, cut: bool
) -> None:
    node = await serving(make_pool)
    port = node.port if scheme == "tcp" else await websocket_port(node, stack)
    url = f"{scheme}://{NAME}:{port}" + ("/mesh" if scheme == "ws" else "")
    alone = await make_pool(listen=None)
    with pytest.raises(DialError):
        await alone.connect(node.node_id, [url])

    proxy = await stack.enter_async_context(running(ConnectProxy({NAME: "127.0.0.1"}, cut=cut)))
    await assert_echoes(await make_pool(**behind(proxy)), node, url)
    assert proxy.asked == [f"{NAME}:{port}"]
    assert b"x" * 100 not in proxy.passed
    assert b"electrons" not in proxy.passed.lower() or scheme == "tcp"


async def test_a_password_is_given_where_the_proxy_asks(
    make_pool: MakePool, stack: AsyncExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    node = await serving(make_pool)
    url = f"tcp://{NAME}:{node.port}"
    fake = ConnectProxy({NAME: "127.0.0.1"}, credentials="ann:s3cret/word")
    proxy = await stack.enter_async_context(running(fake))
    await assert_echoes(await make_pool(**behind(proxy, "ann:s3cret%2Fword")), node, url)

    wrong = await make_pool(**behind(proxy, "ann:guessed"))
    with pytest.raises(DialError, match="does not accept the user name and password") as refused:
        await wrong.connect(node.node_id, [url])
    nameless = await make_pool(**behind(proxy))
    with pytest.raises(DialError, match=r"wants a user name and password.*\(407 Proxy"):
        await nameless.connect(node.node_id, [url])
    assert "guessed" not in str(refused.value)
    for secret in ("s3cret", "guessed", "ann"):
        assert secret not in caplog.text
    assert proxy.statuses == [200, 407, 407]


@pytest.mark.parametrize(
    ("fake", "words"),
    [
        (ConnectProxy(ports=frozenset({443})), "does not allow .*port 443 only .403"),
        (ConnectProxy(), "cannot reach node-a.test"),
        (ConnectProxy(credentials="a:b", challenge="NTLM"), "wants NTLM .*only Basic"),
    ],
)
async def test_a_refusal_is_said_in_words(
    make_pool: MakePool, stack: AsyncExitStack, fake: ConnectProxy, words: str
) -> None:
    proxy = await stack.enter_async_context(running(fake))
    pool = await make_pool(**behind(proxy))
    for url in (f"tcp://{NAME}:7718", f"ws://{NAME}:7717/mesh", f"wss://{NAME}:7717/mesh"):
        with pytest.raises(DialError, match=words):
            await pool.connect(NodeKey.generate().node_id, [url])


async def test_a_proxy_that_is_not_there_is_named(make_pool: MakePool) -> None:
    found = parse_proxy("http://ann:s3cret@proxy.test:3128")
    pool = await make_pool(proxies=ProxyRoutes(found, found), listen=None)
    with pytest.raises(DialError, match=r"name proxy\.test cannot be resolved") as failed:
        await pool.connect(None, ["wss://node.example/mesh"])
    assert "s3cret" not in str(failed.value)
    gone = parse_proxy("http://127.0.0.1:1")
    pool = await make_pool(proxies=ProxyRoutes(gone, gone), listen=None)
    with pytest.raises(DialError, match=r"http://127\.0\.0\.1:1 cannot be reached"):
        await pool.connect(None, ["wss://node.example/mesh"])


@pytest.mark.parametrize("answer", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nhello", b""])
async def test_what_is_no_proxy_is_told_from_one(make_pool: MakePool, answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        found = parse_proxy(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
        pool = await make_pool(proxies=ProxyRoutes(found, found), listen=None)
        with pytest.raises(DialError, match="does not answer as an HTTP proxy"):
            await pool.connect(None, ["wss://node.example/mesh"])


async def test_who_can_be_reached_directly_is(
    make_pool: MakePool, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await serving(make_pool)
    proxy = await stack.enter_async_context(running(ConnectProxy({NAME: "127.0.0.1"})))
    monkeypatch.setattr(outbound, "dial_tcp", lambda _: dial_tcp(parse_address(node.addresses[0])))
    await assert_echoes(await make_pool(**behind(proxy)), node, f"tcp://{NAME}:{node.port}")
    assert proxy.asked == []


async def test_a_direct_way_that_hangs_does_not_keep_the_proxy_waiting(
    make_pool: MakePool, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a firewall that drops what it does not allow."""
    node = await serving(make_pool)

    async def hang(address: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(outbound, "dial_tcp", hang)
    monkeypatch.setattr(outbound, "DIRECT_FIRST", 0.05)
    proxy = await stack.enter_async_context(running(ConnectProxy({NAME: "127.0.0.1"})))
    await assert_echoes(await make_pool(**behind(proxy)), node, f"tcp://{NAME}:{node.port}")


async def test_where_only_the_proxy_led_it_is_asked_at_once(
    make_pool: MakePool, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every circuit through a relay is another connection to the same place."""
    node = await serving(make_pool)

    async def hang(address: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(outbound, "dial_tcp", hang)
    monkeypatch.setattr(outbound, "DIRECT_FIRST", 0.05)
    proxy = await stack.enter_async_context(running(ConnectProxy({NAME: "127.0.0.1"})))
    pool, address = await make_pool(**behind(proxy)), parse_address(f"tcp://{NAME}:{node.port}")
    (await pool._outbound.dial(address)).abort()
    monkeypatch.setattr(outbound, "DIRECT_FIRST", 3600.0)
    async with asyncio.timeout(10):
        (await pool._outbound.dial(address)).abort()
    assert len(proxy.asked) == 2


async def test_a_proxy_that_dies_ends_the_link_and_another_comes_up(
    make_pool: MakePool, stack: AsyncExitStack
) -> None:
    node = await serving(make_pool)
    proxy = await stack.enter_async_context(running(ConnectProxy({NAME: "127.0.0.1"})))
    pool = await make_pool(**behind(proxy))
    url = f"tcp://{NAME}:{node.port}"
    await assert_echoes(pool, node, url)
    lost = asyncio.Event()
    pool.watch(lambda link, up: None if up else lost.set())
    proxy.cut_tunnels()
    async with asyncio.timeout(5):
        await lost.wait()
    await assert_echoes(pool, node, url)
    assert len(proxy.asked) == 2
