"""Directory and table over real links."""

from __future__ import annotations

from tests.integration.discovery.conftest import OTHER_MESH, RealMesh, until


async def test_nodes_that_join_through_one_know_all_and_find_all(mesh: RealMesh) -> None:
    nodes = [await mesh.start(f"model-{number}") for number in range(8)]
    for node in nodes[1:]:
        node.look_for_peers(nodes[0].address)
    await until(lambda: all(len(node.knows()) == 7 for node in nodes))
    for node in nodes:
        await until(lambda node=node: node.table.counters.published >= 2)  # type: ignore[misc]
    found = await nodes[1].table.find_providers("model-6", timeout=5)
    assert [record.node_id for record in found] == [nodes[6].id]
    assert found[0].addresses == nodes[6].links.addresses
    (provider,) = nodes[2].directory.view.providers("model-5")
    assert provider.peer.record.node_id == nodes[5].id


async def test_a_crash_is_known_at_once(mesh: RealMesh) -> None:
    nodes = [await mesh.start(f"model-{number}") for number in range(4)]
    for node in nodes[1:]:
        node.look_for_peers(nodes[0].address)
    await until(lambda: all(len(node.knows()) == 3 for node in nodes))
    await until(lambda: all(len(node.links.all()) == 3 for node in nodes))
    victim = nodes.pop()
    mesh.nodes.remove(victim)
    await victim.crash()
    await until(lambda: all(victim.id not in node.knows() for node in nodes), timeout=1.5)
    assert all(node.directory.view.seen_lately("model-3") for node in nodes)


async def test_a_node_that_leaves_in_order_is_gone_for_all(mesh: RealMesh) -> None:
    nodes = [await mesh.start(f"model-{number}") for number in range(4)]
    for node in nodes[1:]:
        node.look_for_peers(nodes[0].address)
    await until(lambda: all(len(node.knows()) == 3 for node in nodes))
    await until(lambda: nodes[3].table.counters.published >= 2)
    leaver = nodes.pop()
    mesh.nodes.remove(leaver)
    await leaver.leave()
    await until(lambda: all(leaver.id not in node.knows() for node in nodes), timeout=1.5)
    assert not await nodes[1].table.find_providers("model-3", timeout=5)


async def test_a_node_of_another_mesh_is_not_let_in(mesh: RealMesh) -> None:
    node = await mesh.start("model")
    stranger = await mesh.start("model", mesh_id=OTHER_MESH)
    ladder = stranger.look_for_peers(node.address)
    await until(lambda: ladder.state == "isolated")
    assert not stranger.knows()
    assert not node.knows()
