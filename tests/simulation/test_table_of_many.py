"""The distributed table in meshes of many nodes, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from dht.search import REPLICAS
from mesh.capability import NodeRecord
from tests.simulation.discovering_node import (
    DiscoveringMesh,
    DiscoveringNode,
    discovering_mesh,
    until,
)
from tests.simulation.virtual_time import run_virtual


async def grown(mesh: DiscoveringMesh, count: int, **settings: int) -> list[DiscoveringNode]:
    """A mesh that grew from a seed, each node with a model of its own, all of them published."""
    nodes = [mesh.start(f"model-{number}", **settings) for number in range(count)]  # type: ignore[arg-type]
    for node in nodes[1:]:
        await node.dial(nodes[0])
    await until(lambda: all(node.kademlia.counters.published >= 2 for node in nodes), timeout=60)
    return nodes


async def find(node: DiscoveringNode, model: str) -> Sequence[NodeRecord]:
    return await node.kademlia.find_providers(model, timeout=5)


def test_sixty_nodes_of_few_links_find_what_no_directory_holds_without_their_seed() -> None:
    async def story() -> None:
        async with discovering_mesh(seed=10) as mesh:
            nodes = await grown(mesh, 60, most=20, target=6, most_links=14)
            seed, provider = nodes[0], nodes[42]
            many = [f"family/{number:04d}" + "x" * 90 for number in range(100)]
            provider.offer(*many)
            secret = many[-1]
            await mesh.crash(seed)
            nodes.remove(seed)
            published = provider.kademlia.counters
            await until(lambda: published.published >= 2 + len(many), timeout=60)
            await asyncio.sleep(30)
            assert not any(node.directory.view.providers(secret) for node in nodes)
            assert all(len(node.links.all()) <= 16 for node in nodes)
            for node in nodes:
                if node is not provider:
                    before = node.kademlia.counters.lookups
                    assert [found.node_id for found in await find(node, secret)] == [provider.id]
                    assert node.kademlia.counters.lookups == before + 1

    run_virtual(story())


def test_twenty_publishers_within_a_tenth_of_a_second_are_all_found() -> None:
    async def story() -> None:
        async with discovering_mesh(seed=11) as mesh:
            nodes = await grown(mesh, 40)
            publishers = nodes[:20]
            for number, node in enumerate(publishers):
                node.offer("shared", roles=("worker", "storage"))
                await asyncio.sleep(0.1 / 20 if number < 19 else 0)
            await asyncio.sleep(1)
            expected = {node.id for node in publishers}
            for asker in (*nodes[20:], publishers[3]):
                assert {found.node_id for found in await find(asker, "shared")} == expected
                service = await asker.kademlia.find("service", "storage", timeout=5)
                assert {found.node_id for found in service} == expected

    run_virtual(story())


def test_all_is_found_at_once_though_three_in_ten_nodes_are_silent() -> None:
    async def story() -> list[float]:
        async with discovering_mesh(seed=12) as mesh:
            nodes = await grown(mesh, 60)
            silent, alive = nodes[:18], nodes[18:]
            for node in silent:
                mesh.network.freeze(node.id)
            took = []
            loop = asyncio.get_running_loop()
            for number, asker in enumerate(alive):
                wanted = alive[(number + 17) % len(alive)]
                started = loop.time()
                found = await find(asker, wanted.models[0])
                took.append(loop.time() - started)
                assert [record.node_id for record in found] == [wanted.id]
            return sorted(took)

    assert run_virtual(story())[-1] <= 1.0


def test_patience_is_learned_on_slow_links() -> None:
    async def story() -> None:
        async with discovering_mesh(seed=13, latency=0.15, jitter=0.05) as mesh:
            nodes = await grown(mesh, 30)
            for node in nodes[:5]:
                assert await find(node, "model-29")
            assert all(node.kademlia.counters.failures == 0 for node in nodes)

    run_virtual(story())


def test_what_is_served_no_more_is_found_no_more() -> None:
    async def story() -> None:
        async with discovering_mesh(seed=14) as mesh:
            nodes = await grown(mesh, 30)
            assert await find(nodes[1], "model-20")
            nodes[20].offer("something-else")
            await asyncio.sleep(15)
            assert not await find(nodes[2], "model-20")
            assert await find(nodes[2], "something-else")

    run_virtual(story())


def test_unreachable_nodes_publish_and_find_but_hold_nothing() -> None:
    async def story() -> None:
        async with discovering_mesh(seed=15) as mesh:
            nodes = await grown(mesh, 20)
            hidden = mesh.start("hidden", dialable=False)
            await hidden.dial(nodes[0])
            await until(lambda: hidden.kademlia.counters.published >= 2, timeout=30)
            assert hidden.kademlia.held == 0
            assert all(hidden.id not in node.kademlia._server.table for node in nodes)
            assert [record.node_id for record in await find(nodes[9], "hidden")] == [hidden.id]
            assert await find(hidden, "model-3")

    run_virtual(story())


def test_records_outlive_most_first_holders_and_die_with_their_origin() -> None:
    async def story() -> None:
        async with discovering_mesh(seed=16) as mesh:
            nodes = await grown(mesh, 30)
            origin = nodes[25]
            holders = [
                node
                for node in nodes
                if any(record.node == origin.id for record in node.kademlia._server.store.records())
            ]
            assert len(holders) >= REPLICAS
            for node in holders[:20]:
                if node is not origin:
                    nodes.remove(node)
                    await mesh.crash(node)
            asker = next(node for node in nodes if node is not origin)
            await asyncio.sleep(800)  # the next storing finds new holders
            assert await find(asker, "model-25")
            nodes.remove(origin)
            await mesh.crash(origin)
            await asyncio.sleep(1900)
            assert not await find(asker, "model-25")

    run_virtual(story())


def test_an_idle_table_of_many_keys_stays_quiet() -> None:
    async def story() -> float:
        async with discovering_mesh(seed=17) as mesh:
            nodes = await grown(mesh, 20)
            for number, node in enumerate(nodes):
                node.offer(*(f"model-{number}-{each}" for each in range(10)))
            await asyncio.sleep(60)
            before = sum(node.kademlia.counters.rpcs for node in nodes)
            await asyncio.sleep(1200)
            return (sum(node.kademlia.counters.rpcs for node in nodes) - before) / 20 / 1200

    assert run_virtual(story()) <= 2.0  # requests a second and node, of 11 names each


def test_a_name_nobody_serves_costs_one_lookup_for_many_askers() -> None:
    async def story() -> None:
        async with discovering_mesh(seed=18) as mesh:
            nodes = await grown(mesh, 20)
            counters = nodes[4].kademlia.counters
            before, misses = counters.lookups, counters.misses
            answers = await asyncio.gather(*(find(nodes[4], "nothing") for _ in range(50)))
            answers.append(await find(nodes[4], "nothing"))
            assert not any(answers)
            assert (counters.lookups, counters.misses) == (before + 1, misses + 1)

    run_virtual(story())
