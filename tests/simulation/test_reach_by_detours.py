"""A node whose links all lead through something gets relays soon, though nobody can try it."""

from __future__ import annotations

import asyncio
from random import Random

from dht.reachability import DIRECT_PATIENCE, LOOK_EVERY, Reachability
from mesh.lifecycle import Tasks
from mesh.links.memory import LoopClock, MemoryNetwork
from tests.simulation.virtual_time import run_virtual


def test_links_by_detours_only_make_private_and_none_at_all_does_not() -> None:
    async def story() -> None:
        network, tasks = MemoryNetwork(rng=Random(1)), Tasks("detours")
        links, peer = network.join(), network.join()  # whose places are names, not addresses
        reach = Reachability(
            links=links,
            listening=lambda: ("tcp://192.168.1.5:7718",),
            clock=LoopClock(),
            tasks=tasks,
            rng=Random(1),
        )
        told: list[str] = []
        reach.on_change(lambda: told.append(reach.state))
        reach.start()
        await asyncio.sleep(10 * LOOK_EVERY)
        assert reach.state == "unknown"
        await links.connect(peer.node_id, peer.addresses)
        await asyncio.sleep(DIRECT_PATIENCE / 2)
        assert reach.state == "unknown"
        await asyncio.sleep(DIRECT_PATIENCE / 2 + LOOK_EVERY)
        assert (reach.state, told[-1]) == ("private", "private")
        assert reach.counters.questions == 0
        await tasks.close()
        for node in (links, peer):
            await node.close()

    run_virtual(story())
