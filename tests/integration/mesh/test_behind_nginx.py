"""Daemons behind a reverse proxy that ends TLS, and on a port 443 of their own.

The proxy is believed nothing: which node answers is proved inside, end to end.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from mesh.errors import DialError
from mesh.identity.mesh import mesh_of_network
from mesh.ids import NodeId
from tests.fakes.certificates import certify
from tests.fakes.connect_proxy import ConnectProxy, running
from tests.integration.links.conftest import make_pool
from tests.integration.links.peers import MakePool
from tests.integration.mesh.daemon import Daemons, until, until_model
from tests.integration.mesh.reverse_proxy import reverse_proxy

NAME = "node-a.test"
DEBUG = {"ELECTRONS_LOG_LEVEL": "debug"}


__all__ = ["make_pool"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


async def ask(url: str, **options: Any) -> str:
    """The id of the node that served a small job."""
    body = {"model": "demo", "prompt": "Hi", "max_tokens": 3}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v1/completions", json=body, **options) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return answer.headers["x-electrons-node"]


async def test_a_job_crosses_nginx_and_nodes_are_not_confused(
    daemons: Daemons, tmp_path: Path, make_pool: MakePool
) -> None:
    port = free_port()
    public = f"wss://127.0.0.1:{port}/mesh"
    front = await daemons.start(*("--engine", "none", "--access", "open", "--public-url", public))
    folder = tmp_path / "nginx"
    async with reverse_proxy(folder, port, {"/": front.http}) as nginx:
        worker = await daemons.start("--engine", "demo", "--join", f"{front.node_id}@{public}")
        await until_model(front, "demo")
        assert await ask(front.http) == worker.node_id
        assert await ask(f"https://127.0.0.1:{port}", ssl=nginx.trusting()) == worker.node_id

        async def told() -> bool:
            peers = (await worker.get("/api/peers"))["peers"]
            return any(public in p["addresses"] for p in peers if p["node_id"] == front.node_id)

        await until(told)

    # Both are honest members of the mesh, but only the id that was expected will do.
    pool = await make_pool(mesh_id=mesh_of_network("local"))
    async with reverse_proxy(tmp_path / "wrong", port, {"/": worker.http}):
        with pytest.raises(DialError, match=f"another node answered: {worker.node_id}"):
            await pool.connect(NodeId(front.node_id), [public])
        assert not pool.all()
    async with reverse_proxy(tmp_path / "right", port, {"/": front.http}) as nginx:
        link = await pool.connect(NodeId(front.node_id), [public])
        assert link.peer == front.node_id
        await pool.close()

        async def written() -> bool:
            """nginx writes an upgraded connection down when it ends."""
            return '"GET /mesh HTTP/1.1" 101' in nginx.served()

        await until(written)


async def test_one_port_of_a_node_serves_https_and_the_mesh(
    daemons: Daemons, tmp_path: Path
) -> None:
    """As on port 443; the dialler comes through a proxy that allows that port only."""
    port, certified = free_port(), certify(name=NAME)
    certificate, key = certified.write(tmp_path)
    front = await daemons.start(
        *("--engine", "none", "--http", f"127.0.0.1:{port}"),
        *("--tls-certificate", str(certificate), "--tls-key", str(key)),
    )
    fake = ConnectProxy({NAME: "127.0.0.1"}, credentials="ann:s3cret", ports=frozenset({port}))
    async with running(fake) as proxy:
        environ = {**DEBUG, "https_proxy": proxy.url.replace("://", "://ann:s3cret@")}
        join = f"{front.node_id}@wss://{NAME}:{port}/mesh"
        worker = await daemons.start("--engine", "demo", "--join", join, env=environ)
        await until_model(front, "demo")
        assert await ask(front.http) == worker.node_id
        trusted = aiohttp.TCPConnector(ssl=False)
        async with (
            aiohttp.ClientSession(connector=trusted) as session,
            session.get(f"https://127.0.0.1:{port}/v1/models") as answer,
        ):
            assert answer.status == 200
        assert set(proxy.asked) == {f"{NAME}:{port}"}
        assert "s3cret" not in worker.log.read_text()
        for told in ("/api/node", "/metrics"):
            async with aiohttp.ClientSession() as session:
                assert "s3cret" not in await (await session.get(worker.http + told)).text()
        await worker.stop()
        assert b"demo" not in proxy.passed  # the worker's record, in the clear
