"""An edge router that only a proxy can reach."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pytest

from dht.edge_client import EdgeClient, EdgeError
from edge_router.main import run_edge
from mesh.identity.keys import NodeKey
from mesh.lifecycle import Tasks
from mesh.links.proxy import ProxyRoutes, parse_proxy
from tests.fakes.connect_proxy import ConnectProxy, running
from tests.integration.discovery.conftest import MESH


async def ask(url: str, proxies: ProxyRoutes | None) -> int:
    client = EdgeClient(url, mesh_id=MESH, own=NodeKey.generate().node_id, proxies=proxies)
    try:
        return len(await client.seeds())
    finally:
        await client.close()


async def test_an_edge_router_is_asked_through_the_proxy() -> None:
    tasks, stop = Tasks("edge test"), asyncio.Event()
    bound: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    edge = tasks.spawn(run_edge("127.0.0.1", 0, ready=bound.set_result, stop=stop), "edge")
    port = urlsplit(await bound).port
    url = f"http://edge.test:{port}"
    async with running(ConnectProxy({"edge.test": "127.0.0.1"}, credentials="a:b")) as proxy:
        with pytest.raises(EdgeError):
            await ask(url, None)
        named = parse_proxy(proxy.url.replace("://", "://a:b@"))
        assert await ask(url, ProxyRoutes(plain=named)) == 0
        with pytest.raises(EdgeError, match="wants a user name and password"):
            await ask(url, ProxyRoutes(plain=parse_proxy(proxy.url)))
        assert proxy.asked == [f"edge.test:{port}"] * 2
    stop.set()
    await edge
    await tasks.close()
