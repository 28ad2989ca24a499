"""Nodes that find each other by multicast, on the loopback interface only."""

from __future__ import annotations

import asyncio

from dht.join_address import JoinAddress
from dht.mdns import Mdns, service_type
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from tests.integration.discovery.conftest import MESH, OTHER_MESH, RealMesh, until

SOMEBODY = NodeId("5a" * 20)


async def test_two_meshes_on_one_network_each_find_their_own(mesh: RealMesh) -> None:
    ours = [await mesh.start(f"ours-{number}") for number in range(2)]
    theirs = [await mesh.start(f"theirs-{number}", mesh_id=OTHER_MESH) for number in range(2)]
    for node in (*ours, *theirs):
        node.look_for_peers(mdns=True)
    await until(lambda: all(len(node.knows()) == 1 for node in (*ours, *theirs)))
    assert ours[0].knows() == {ours[1].id}
    assert theirs[0].knows() == {theirs[1].id}
    assert all(node.links.metrics.handshakes_failed.total() == 0 for node in mesh.nodes)


async def test_a_node_alone_is_the_first(mesh: RealMesh) -> None:
    node = await mesh.start("model")
    ladder = node.look_for_peers(mdns=True)
    await asyncio.sleep(0.05)
    assert ladder.state == "first"


async def test_who_lies_about_the_mesh_in_its_text_is_not_dialled() -> None:
    """The service type holds a part of the mesh id only; the text record holds the whole."""
    tasks, found = Tasks("mdns test"), list[JoinAddress]()
    near_miss = type(MESH)(MESH[:12] + "0" * 28)
    assert service_type(near_miss) == service_type(MESH)
    liar = Mdns(own=SOMEBODY, mesh_id=near_miss, tasks=tasks, interfaces=["127.0.0.1"])
    seeker = Mdns(own=NodeId("11" * 20), mesh_id=MESH, tasks=tasks, interfaces=["127.0.0.1"])
    honest = Mdns(own=NodeId("22" * 20), mesh_id=MESH, tasks=tasks, interfaces=["127.0.0.1"])
    try:
        await liar.start(["tcp://127.0.0.1:7001"], lambda _: None)
        await seeker.start([], found.extend)
        await honest.start(["tcp://127.0.0.1:7002", "wss://x.example.org"], lambda _: None)
        await until(lambda: bool(found))
    finally:
        for each in (liar, seeker, honest):
            await each.close()
        await tasks.close()
    assert found == [JoinAddress("tcp://127.0.0.1:7002", NodeId("22" * 20))]
