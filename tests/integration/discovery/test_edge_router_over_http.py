"""The edge router as nodes and strangers meet it: real HTTP, real dials."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import aiohttp
import pytest
import pytest_asyncio

from dht.announcer import EdgeAnnouncer
from dht.edge_client import EdgeClient, EdgeError
from edge_router.main import run_edge
from mesh.errors import ConfigError
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.wire.records import sign_node
from tests.integration.discovery.conftest import MESH, OTHER_MESH, RealMesh, RealNode, until


@pytest_asyncio.fixture
async def edge() -> AsyncIterator[str]:
    """The URL of a running edge router."""
    tasks, stop = Tasks("edge test"), asyncio.Event()
    bound: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    running = tasks.spawn(run_edge("127.0.0.1", 0, ready=bound.set_result, stop=stop), "edge")
    yield await bound
    stop.set()
    await running
    await tasks.close()


@pytest_asyncio.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def announce(url: str, node: RealNode) -> None:
    client = EdgeClient(url, mesh_id=node.mesh_id, own=node.id)
    signed = node.directory.own_signed
    assert signed is not None
    try:
        await client.announce(signed)
    finally:
        await client.close()


async def test_nodes_meet_through_an_edge_router(edge: str, mesh: RealMesh) -> None:
    first, second = await mesh.start("first"), await mesh.start("second")
    client = EdgeClient(edge, mesh_id=MESH, own=first.id)
    EdgeAnnouncer(directory=first.directory, edges=[client], tasks=first.tasks).start()
    asker = EdgeClient(edge, mesh_id=MESH, own=second.id)
    found = list(await asker.seeds())
    while not found:
        await asyncio.sleep(0.02)
        found = list(await asker.seeds())
    await asker.close()
    assert found == [first.address]
    second.look_for_peers(edges=[edge])
    await until(lambda: second.knows() == {first.id})
    await client.close()


async def test_a_node_that_nobody_reaches_is_announced_once_somebody_does(
    edge: str, mesh: RealMesh
) -> None:
    node = await mesh.start("node")
    asked: list[bool] = []

    def reachable() -> bool:
        asked.append(len(asked) > 0)
        return asked[-1]

    client = EdgeClient(edge, mesh_id=MESH, own=node.id)
    asker = EdgeClient(edge, mesh_id=MESH, own=NodeId("00" * 20))
    EdgeAnnouncer(
        directory=node.directory, edges=[client], tasks=node.tasks, reachable=reachable
    ).start()
    await until(lambda: bool(asked))
    assert list(await asker.seeds()) == []
    while list(await asker.seeds()) != [node.address]:
        await asyncio.sleep(0.02)
    assert asked == [False, True]
    await client.close()
    await asker.close()


async def test_nobody_is_its_own_seed_and_meshes_are_apart(edge: str, mesh: RealMesh) -> None:
    node = await mesh.start("node")
    stranger = await mesh.start("stranger", mesh_id=OTHER_MESH)
    await announce(edge, node)
    await announce(edge, stranger)
    for asker, mesh_id, expected in (
        (node.id, MESH, []),
        (stranger.id, MESH, [node.address]),
        (node.id, OTHER_MESH, [stranger.address]),
    ):
        client = EdgeClient(edge, mesh_id=mesh_id, own=asker)
        assert list(await client.seeds()) == expected
        await client.close()


async def test_who_cannot_be_reached_is_not_taken(edge: str, mesh: RealMesh) -> None:
    node = await mesh.start("node")
    record = node.directory.own
    assert record is not None
    client = EdgeClient(edge, mesh_id=MESH, own=node.id)
    for addresses, reason in (
        (("tcp://127.0.0.1:9",), "cannot reach you"),
        (("tcp://10.1.2.3:7400",), "none of its addresses leads to 127.0.0.1"),
        ((), "none of its addresses"),
    ):
        signed = sign_node(node.key, MESH, replace(record, addresses=addresses))
        with pytest.raises(EdgeError, match=reason):
            await client.announce(signed)
    assert not await client.seeds()
    await client.close()


async def test_an_address_of_another_node_is_not_taken(edge: str, mesh: RealMesh) -> None:
    node, other = await mesh.start("node"), await mesh.start("other")
    record = node.directory.own
    assert record is not None
    stolen = sign_node(node.key, MESH, replace(record, addresses=other.links.addresses))
    client = EdgeClient(edge, mesh_id=MESH, own=node.id)
    with pytest.raises(EdgeError, match="another node answers there"):
        await client.announce(stolen)
    await client.close()


async def test_forged_foreign_and_replayed_announcements_are_refused(
    edge: str, mesh: RealMesh, http: aiohttp.ClientSession
) -> None:
    node = await mesh.start("node")
    old = node.directory.own_signed
    node.offer("node", "another")
    new = node.directory.own_signed
    assert old is not None
    assert new is not None
    cases = [
        (MESH, b"", 400),
        (MESH, b"\x00" * 500, 400),
        (MESH, new.data[:-1] + bytes([new.data[-1] ^ 1]), 400),
        (OTHER_MESH, new.data, 400),
        ("not-a-mesh", new.data, 400),
        (MESH, b"x" * 9000, 413),
        (MESH, new.data, 200),
        (MESH, old.data, 409),
        (MESH, new.data, 200),
    ]
    for mesh_id, body, status in cases:
        async with http.post(f"{edge}/announce?mesh={mesh_id}", data=body) as response:
            text = await response.text()
            assert response.status == status, text
            assert "Traceback" not in text


async def test_floods_from_one_address_are_told_to_wait(
    edge: str, http: aiohttp.ClientSession
) -> None:
    statuses = []
    for _ in range(200):
        async with http.get(f"{edge}/seeds?mesh={MESH}&node={'1' * 40}") as response:
            statuses.append(response.status)
            if response.status == 429:
                assert int(response.headers["Retry-After"]) >= 1
    assert statuses[:50] == [200] * 50
    assert 429 in statuses


async def test_questions_that_make_no_sense_are_answered_so(
    edge: str, http: aiohttp.ClientSession
) -> None:
    for path, status in (
        ("/seeds", 400),
        (f"/seeds?mesh={MESH}", 400),
        (f"/seeds?mesh={MESH}&node=x", 400),
        ("/announce", 405),
        ("/", 404),
    ):
        async with http.get(edge + path) as response:
            assert response.status == status


async def test_health_tells_how_much_is_known(
    edge: str, mesh: RealMesh, http: aiohttp.ClientSession
) -> None:
    await announce(edge, await mesh.start("node"))
    async with http.get(f"{edge}/health") as response:
        assert await response.json() == {"status": "ok", "nodes": 1, "meshes": 1}


async def test_an_edge_router_that_is_not_there_is_named(mesh: RealMesh) -> None:
    client = EdgeClient("http://127.0.0.1:9", mesh_id=MESH, own=(await mesh.start("node")).id)
    with pytest.raises(EdgeError, match=r"http://127\.0\.0\.1:9 does not answer"):
        await client.seeds()
    await client.close()


async def test_a_taken_port_is_named(edge: str) -> None:
    port = int(edge.rpartition(":")[2])
    with pytest.raises(ConfigError, match="give a free port"):
        await run_edge("127.0.0.1", port)
