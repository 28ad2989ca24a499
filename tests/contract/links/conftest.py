"""Nodes of every implementation of `mesh.ports.Links`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
from aiohttp import web

from mesh.identity.boot import Boot
from mesh.identity.keys import NodeKey
from mesh.identity.mesh import mesh_of_network
from mesh.ids import NodeId
from mesh.links.memory import MemoryNetwork
from mesh.links.pool import LinkPool
from mesh.links.reception import Introduction
from mesh.ports import Links


@dataclass
class Node:
    links: Links
    node_id: NodeId
    addresses: tuple[str, ...]
    close: Callable[[], Awaitable[None]]


MakeNode = Callable[[], Awaitable[Node]]


def _pool(listen: tuple[str, int] | None) -> LinkPool:
    return LinkPool(
        key=NodeKey.generate(),
        mesh_id=mesh_of_network("contract"),
        boot=Boot(1, "0011223344556677"),
        introduce=lambda: Introduction(roles=("worker", "gateway")),
        listen=listen,
    )


async def _tcp_node(stack: AsyncExitStack) -> Node:
    pool = _pool(("127.0.0.1", 0))
    await pool.start()
    stack.push_async_callback(pool.close)
    return Node(pool, pool.node_id, pool.addresses, pool.close)


async def _websocket_node(stack: AsyncExitStack) -> Node:
    pool = _pool(None)
    await pool.start()
    app = web.Application()
    app.router.add_get("/mesh", pool.accept_websocket)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    stack.push_async_callback(runner.cleanup)
    stack.push_async_callback(pool.close)
    port = runner.addresses[0][1]
    return Node(pool, pool.node_id, (f"ws://127.0.0.1:{port}/mesh",), pool.close)


async def _memory_node(network: MemoryNetwork, stack: AsyncExitStack) -> Node:
    links = network.join(roles=("worker", "gateway"))
    stack.push_async_callback(links.close)
    return Node(links, links.node_id, links.addresses, links.close)


@pytest.fixture(params=["tcp", "websocket", "memory"])
async def make_node(request: pytest.FixtureRequest) -> AsyncIterator[MakeNode]:
    network = MemoryNetwork()
    async with AsyncExitStack() as stack:

        async def make() -> Node:
            match request.param:
                case "tcp":
                    return await _tcp_node(stack)
                case "websocket":
                    return await _websocket_node(stack)
                case _:
                    return await _memory_node(network, stack)

        yield make
