"""The directory in meshes of many nodes, in virtual time."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from mesh.capability import Load
from mesh.wire.frames import GoawayCode
from tests.simulation.discovering_node import DiscoveringNode, discovering_mesh, until
from tests.simulation.virtual_time import run_virtual


def test_twenty_nodes_know_each_other_and_a_join_is_known_at_once() -> None:
    async def story() -> tuple[float, float]:
        async with discovering_mesh(seed=1) as mesh:
            nodes = [mesh.start(f"model-{number}") for number in range(20)]
            for node in nodes[1:]:
                await node.dial(nodes[0])
            together = await until(lambda: all(len(node.knows()) == 19 for node in nodes))
            newcomer = mesh.start("fresh")
            await newcomer.dial(nodes[7])
            joined = await until(
                lambda: all(node.directory.view.providers("fresh") for node in nodes)
            )
            assert len(newcomer.knows()) == 20
            return together, joined

    together, joined = run_virtual(story())
    assert together <= 5.0
    assert joined <= 0.5


def test_a_crash_takes_the_models_out_of_every_view() -> None:
    async def story() -> float:
        async with discovering_mesh(seed=2) as mesh:
            nodes = [mesh.start(f"model-{number}") for number in range(40)]
            for node in nodes[1:]:
                await node.dial(nodes[0])
            await until(lambda: all(len(node.knows()) == 39 for node in nodes))
            victim = nodes.pop(13)
            await mesh.crash(victim)
            gone = await until(
                lambda: all(not node.directory.view.providers("model-13") for node in nodes)
            )
            assert all(node.directory.view.seen_lately("model-13") for node in nodes)
            assert all(victim.id not in node.knows() for node in nodes)
            assert all(len(node.knows()) == 38 for node in nodes)
            return gone

    assert run_virtual(story()) <= 1.0


@pytest.mark.parametrize("seed", range(12))
def test_a_crash_at_any_moment_of_growth_is_known_to_all(seed: int) -> None:
    async def story() -> None:
        rng = Random(seed)
        latency, jitter = rng.uniform(0.001, 0.02), rng.uniform(0, 0.005)
        async with discovering_mesh(seed=seed, latency=latency, jitter=jitter) as mesh:
            nodes = [mesh.start(f"model-{number}") for number in range(14)]
            for node in nodes[1:]:
                await node.dial(nodes[0])
            await asyncio.sleep(rng.uniform(0, 1.2))
            victim = nodes.pop(rng.randrange(1, 14))
            await mesh.crash(victim)
            await until(lambda: all(len(node.knows()) == 12 for node in nodes), timeout=3)
            assert all(victim.id not in node.knows() for node in nodes)

    run_virtual(story())


def test_silence_takes_a_node_out_of_every_view_within_three_seconds() -> None:
    async def story() -> float:
        async with discovering_mesh(seed=3) as mesh:
            nodes = [mesh.start(f"model-{number}") for number in range(20)]
            for node in nodes[1:]:
                await node.dial(nodes[0])
            await until(lambda: all(len(node.knows()) == 19 for node in nodes))
            frozen = nodes.pop(5)
            mesh.network.freeze(frozen.id)
            return await until(lambda: all(frozen.id not in node.knows() for node in nodes))

    assert run_virtual(story()) <= 3.0


def test_a_node_that_was_only_believed_lost_comes_back_everywhere() -> None:
    async def story() -> None:
        async with discovering_mesh(seed=4) as mesh:
            nodes = [mesh.start(f"model-{number}") for number in range(20)]
            for node in nodes[1:]:
                await node.dial(nodes[0])
            await until(lambda: all(len(node.knows()) == 19 for node in nodes))
            victim = nodes[5]
            for link in list(victim.links.all()):
                link.give_up()
            others = [node for node in nodes if node is not victim]
            await until(lambda: all(victim.id in node.knows() for node in others), timeout=60)
            assert all(node.directory.view.providers("model-5") for node in others)

    run_virtual(story())


def test_leaving_in_order_is_known_at_once() -> None:
    async def story() -> float:
        async with discovering_mesh(seed=5) as mesh:
            nodes = [mesh.start(f"model-{number}") for number in range(20)]
            for node in nodes[1:]:
                await node.dial(nodes[0])
            await until(lambda: all(len(node.knows()) == 19 for node in nodes))
            leaver = nodes.pop(3)
            mesh.nodes.remove(leaver)
            await leaver.leave()
            return await until(lambda: all(leaver.id not in node.knows() for node in nodes))

    assert run_virtual(story()) <= 0.5


def test_two_halves_of_a_parted_mesh_find_each_other_again() -> None:
    async def story() -> None:
        async with discovering_mesh(seed=6) as mesh:
            nodes = [mesh.start(f"model-{number}") for number in range(16)]
            for node in nodes[1:]:
                await node.dial(nodes[0])
            await until(lambda: all(len(node.knows()) == 15 for node in nodes))
            left, right = nodes[:8], nodes[8:]
            mesh.network.partition([n.id for n in left], [n.id for n in right])
            await until(lambda: all(len(node.knows()) == 7 for node in nodes), timeout=10)
            mesh.network.heal()
            await left[0].dial(right[0])
            await until(lambda: all(len(node.knows()) == 15 for node in nodes), timeout=60)

    run_virtual(story())


def test_load_reaches_linked_peers_and_goes_with_the_link() -> None:
    async def story() -> None:
        async with discovering_mesh(seed=7) as mesh:
            worker, gateway = mesh.start("story"), mesh.start()
            await gateway.dial(worker)
            await until(lambda: bool(gateway.directory.view.providers("story")))
            for number in range(100):
                worker.directory.set_load(Load(in_flight=number, slots=128))
            await until(lambda: _load_of(gateway, "story").in_flight == 99, timeout=1)
            assert gateway.directory.view.providers("story")[0].peer.linked
            await asyncio.sleep(5)  # until the worker has published
            sent = worker.links.metrics.streams_out
            worker.directory.set_load(Load(in_flight=99, slots=128))
            await asyncio.sleep(1)
            assert worker.links.metrics.streams_out == sent
            for link in gateway.links.all():
                link.drain(GoawayCode.IDLE, "not used")
            await until(lambda: not gateway.directory.view.providers("story")[0].peer.linked)
            assert _load_of(gateway, "story") == Load()

    run_virtual(story())


def test_an_idle_mesh_says_almost_nothing() -> None:
    async def story() -> float:
        async with discovering_mesh(seed=8) as mesh:
            nodes = [mesh.start(f"model-{number}") for number in range(20)]
            for node in nodes[1:]:
                await node.dial(nodes[0])
            await until(lambda: all(len(node.knows()) == 19 for node in nodes))
            await asyncio.sleep(60)
            before = sum(node.links.metrics.bytes_out for node in nodes)
            await asyncio.sleep(1800)
            after = sum(node.links.metrics.bytes_out for node in nodes)
            return (after - before) / len(nodes) / 1800

    assert run_virtual(story()) <= 1000  # bytes a second and node, keep-alives not counted


def _load_of(node: DiscoveringNode, model: str) -> Load:
    """What the node believes of the only provider's load."""
    (provider,) = node.directory.view.providers(model)
    return provider.peer.load
