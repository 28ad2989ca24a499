"""GET /mesh on the gateway's port carries a WebSocket through to its handler."""

from __future__ import annotations

import aiohttp
import pytest
from aiohttp import web

from tests.integration.gateway.conftest import Opener


async def echo(request: web.Request) -> web.StreamResponse:
    """Sends every binary message back."""
    pipe = web.WebSocketResponse()
    await pipe.prepare(request)
    async for message in pipe:
        await pipe.send_bytes(message.data)
    return pipe


async def test_bytes_go_both_ways(open_door: Opener) -> None:
    door = await open_door(mesh_websocket=echo)
    async with door.session.ws_connect(f"{door.url}/mesh") as pipe:
        for size in (1, 70_000):
            await pipe.send_bytes(b"m" * size)
            assert await pipe.receive_bytes() == b"m" * size


async def test_a_tunnels_host_name_is_fine_for_nodes(open_door: Opener) -> None:
    door = await open_door(mesh_websocket=echo)
    headers = {"Host": "tunnel.example"}
    async with door.session.ws_connect(f"{door.url}/mesh", headers=headers) as pipe:
        await pipe.send_bytes(b"m")
        assert await pipe.receive_bytes() == b"m"


async def test_web_pages_may_not_open_the_pipe(open_door: Opener) -> None:
    door = await open_door(mesh_websocket=echo)
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await door.session.ws_connect(f"{door.url}/mesh", origin="https://x.test")
    assert refused.value.status == 403


async def test_without_a_handler_there_is_no_such_route(open_door: Opener) -> None:
    door = await open_door()
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await door.session.ws_connect(f"{door.url}/mesh")
    assert refused.value.status == 404


async def test_closing_the_gateway_ends_open_pipes(open_door: Opener) -> None:
    door = await open_door(mesh_websocket=echo)
    pipe = await door.session.ws_connect(f"{door.url}/mesh")
    await door.gateway.close()
    assert (await pipe.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
