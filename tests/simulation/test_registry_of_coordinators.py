"""Coordinators' registries in virtual time: joins, losses, coordinators that die."""

from __future__ import annotations

import asyncio

import pytest

from coordinator.registry.feed import NOBODY
from mesh.capability import Load
from tests.simulation.discovering_node import until
from tests.simulation.registering_mesh import RegisteredNode, RegisteringMesh, registering_mesh
from tests.simulation.virtual_time import run_virtual

SMALL = 10
"""Nodes that an ordinary node's own directory holds here: far fewer than there are."""


async def grow(
    mesh: RegisteringMesh, workers: int, coordinators: int = 3
) -> tuple[list[RegisteredNode], list[RegisteredNode]]:
    """Coordinators that know each other, and workers that met the first; waits until all route."""
    heads = [mesh.start(f"head-{number}", coordinator=True) for number in range(coordinators)]
    for head in heads[1:]:
        await head.node.dial(heads[0].node)
    nodes = [mesh.start(f"model-{number}") for number in range(workers)]
    for node in nodes:
        await node.node.dial(heads[0].node)
    await until(lambda: all(node.feed.following for node in nodes), timeout=30)
    await until(
        lambda: all(
            node is other or node.routes(f"model-{number}")
            for node in nodes
            for number, other in enumerate(nodes)
        ),
        timeout=30,
    )
    return heads, nodes


def test_every_gateway_routes_to_nodes_that_its_directory_has_no_room_for() -> None:
    async def story() -> float:
        async with registering_mesh(seed=1, most=SMALL) as mesh:
            heads, nodes = await grow(mesh, 40)
            assert all(len(node.node.directory.peers()) <= SMALL + 10 for node in nodes)
            assert any(len(node.node.directory.peers()) < 40 for node in nodes)
            newcomer = mesh.start("fresh")
            await newcomer.node.dial(nodes[7].node)
            everybody = [*heads, *nodes]
            return await until(lambda: all(node.routes("fresh") for node in everybody), timeout=10)

    assert run_virtual(story()) <= 1.0


def test_every_node_keeps_links_to_two_coordinators() -> None:
    async def story() -> None:
        async with registering_mesh(seed=2) as mesh:
            heads, nodes = await grow(mesh, 20, coordinators=4)
            ids = {head.id for head in heads}

            def linked(node: RegisteredNode) -> int:
                return len(ids & {link.peer for link in node.node.links.all()})

            await until(lambda: all(linked(node) >= 2 for node in nodes))
            dead = heads.pop(1)
            await mesh.crash(dead)
            ids.discard(dead.id)
            await until(lambda: all(linked(node) >= 2 for node in nodes), timeout=10)

    run_virtual(story())


@pytest.mark.parametrize("silent", [False, True])
def test_a_dead_worker_leaves_every_view(silent: bool) -> None:
    async def story() -> float:
        async with registering_mesh(seed=3, most=SMALL) as mesh:
            heads, nodes = await grow(mesh, 30)
            victim = nodes.pop(5)
            if silent:
                mesh.mesh.network.freeze(victim.id)
            else:
                await mesh.crash(victim)
            rest = [*heads, *nodes]
            return await until(lambda: not any(node.routes("model-5") for node in rest), timeout=20)

    assert run_virtual(story()) <= (3.0 if silent else 1.0)


def test_moving_to_another_coordinator_leaves_no_gap() -> None:
    async def story() -> None:
        async with registering_mesh(seed=4, most=SMALL) as mesh:
            heads, nodes = await grow(mesh, 30)
            await asyncio.sleep(3)
            for _ in range(2):
                await mesh.crash(heads.pop())
                for _ in range(1_500):
                    await asyncio.sleep(0.01)
                    missing = [
                        (node.id, number)
                        for node in nodes
                        for number, other in enumerate(nodes)
                        if node is not other and not node.routes(f"model-{number}")
                    ]
                    assert not missing
                assert all(node.feed.following for node in nodes)

    run_virtual(story())


def test_without_any_coordinator_the_mesh_serves_on_and_says_so() -> None:
    async def story() -> None:
        async with registering_mesh(seed=5) as mesh:
            heads, nodes = await grow(mesh, 12)
            assert {node.feed.note() for node in nodes} == {""}
            for head in heads:
                await mesh.crash(head)
            await until(lambda: all(node.feed.note() == NOBODY for node in nodes))
            await asyncio.sleep(30)
            newcomer = mesh.start("fresh")
            await newcomer.node.dial(nodes[3].node)
            await until(lambda: all(node.routes("fresh") for node in nodes), timeout=10)
            assert all(node.routes("model-2") for node in nodes if node is not nodes[2])
            again = mesh.start(coordinator=True)
            await again.node.dial(nodes[0].node)
            await until(lambda: all(not node.feed.note() for node in nodes), timeout=20)

    run_virtual(story())


def test_load_comes_from_workers_that_are_not_linked() -> None:
    async def story() -> None:
        async with registering_mesh(seed=6, most=SMALL) as mesh:
            _, nodes = await grow(mesh, 30)
            worker = nodes[0]
            far = [node for node in nodes[1:] if node.node.links.get(worker.id) is None]
            assert far
            worker.node.directory.set_load(Load(in_flight=3, slots=4))
            await until(
                lambda: all(node.load_of(worker.id) == Load(3, 0, 4) for node in far), timeout=3
            )

    run_virtual(story())


def test_a_subscriber_that_lost_touch_resumes_where_it_was() -> None:
    async def story() -> None:
        async with registering_mesh(seed=7) as mesh:
            (head,), nodes = await grow(mesh, 12, coordinators=1)
            assert head.server is not None
            before = head.server.full_resyncs
            link = nodes[0].node.links.get(head.id)
            assert link is not None
            link.give_up()
            await until(lambda: not nodes[0].feed.following)
            await until(lambda: bool(nodes[0].feed.following), timeout=20)
            newcomer = mesh.start("fresh")
            await newcomer.node.dial(head.node)
            await until(lambda: bool(nodes[0].routes("fresh")))
            await until(lambda: bool(newcomer.feed.following))
            assert head.server.full_resyncs == before + 1  # the newcomer's

    run_virtual(story())
