"""When a router is asked for a port, asked again, and relieved of it: hours in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from random import Random

import pytest

from dht.reach_verdict import ReachState
from mesh.lifecycle import Tasks
from node.port_mapping import (
    LEASE,
    PERMANENT_ONLY,
    RETRY_FIRST,
    SETTLE,
    TAKEN,
    TRIES,
    USELESS_AFTER,
    PortMapping,
    RouterError,
)
from tests.simulation.virtual_time import run_virtual

PORT = 7718


class World:
    """Peers and a router: a forwarded port makes the node `mapped` 2 s later, where it `works`."""

    def __init__(self) -> None:
        self.state: ReachState = "private"
        self.works = True
        self.refusal = 0
        self.open_ports: dict[int, float] = {}
        self.asked: list[tuple[float, int, float]] = []
        """When, for which outer port, for how long."""
        self._watcher: Callable[[], object] = lambda: None

    def on_change(self, watcher: Callable[[], object]) -> None:
        self._watcher = watcher

    def expect_port(self, port: int) -> None:
        reached = self.works and port in self.open_ports
        asyncio.get_running_loop().call_later(2.0, self.become, "mapped" if reached else "private")

    def become(self, state: ReachState) -> None:
        self.state = state
        self._watcher()

    async def open(self, port: int, outer: int, lease: float) -> None:
        self.asked.append((now(), outer, lease))
        if self.refusal == TAKEN and outer == PORT:
            raise RouterError("taken", TAKEN)
        if self.refusal == PERMANENT_ONLY and lease:
            raise RouterError("for ever only", PERMANENT_ONLY)
        if self.refusal not in (0, TAKEN, PERMANENT_ONLY):
            raise RouterError("no", self.refusal)
        self.open_ports[outer] = lease

    async def close(self, outer: int) -> None:
        if self.open_ports.pop(outer, None) is None:
            raise RouterError("there is none", 714)


def now() -> float:
    return asyncio.get_running_loop().time()


def play(story: Callable[[World, PortMapping], Awaitable[None]], world: World) -> None:
    """Run a story from the node's start to its stop; nothing may stay open."""

    async def run() -> None:
        tasks = Tasks("port story")
        mapping = PortMapping(
            reach=world, router=world, port=lambda: PORT, tasks=tasks, rng=Random(1)
        )
        mapping.start()
        try:
            await story(world, mapping)
        finally:
            await tasks.close()
            await mapping.close()
        assert not world.open_ports

    run_virtual(run())


def test_a_private_node_asks_and_renews_before_the_lease_ends() -> None:
    async def story(world: World, mapping: PortMapping) -> None:
        await asyncio.sleep(3 * LEASE)
        assert mapping.outer == PORT
        times = [at for at, _, _ in world.asked]
        assert SETTLE <= times[0] < SETTLE + 1
        assert all(later - earlier < LEASE for earlier, later in pairwise(times))
        assert len(times) >= 6

    play(story, World())


@pytest.mark.parametrize("state", ["unknown", "local", "public", "mapped"])
def test_nobody_is_asked_who_is_not_needed(state: ReachState) -> None:
    async def story(world: World, mapping: PortMapping) -> None:
        await asyncio.sleep(LEASE)
        assert world.asked == []

    world = World()
    world.state = state
    play(story, world)


def test_a_first_word_that_is_taken_back_opens_nothing() -> None:
    async def story(world: World, mapping: PortMapping) -> None:
        await asyncio.sleep(SETTLE / 2)
        world.become("public")
        await asyncio.sleep(LEASE)
        assert world.asked == []

    play(story, World())


def test_a_port_of_no_use_is_given_back_and_tried_again_much_later() -> None:
    async def story(world: World, mapping: PortMapping) -> None:
        world.works = False
        await asyncio.sleep(SETTLE + USELESS_AFTER + 1)
        assert (mapping.outer, world.open_ports) == (0, {})
        await asyncio.sleep(24 * 3_600.0)
        times = [at for at, _, _ in world.asked]
        assert times[1] - times[0] > 0.8 * RETRY_FIRST
        assert 4 <= len(times) <= 12

    play(story, World())


def test_a_router_that_refuses_is_left_alone_and_named() -> None:
    async def story(world: World, mapping: PortMapping) -> None:
        world.refusal = 501
        await asyncio.sleep(24 * 3_600.0)
        assert 4 <= len(world.asked) <= 12
        assert mapping.refusal == "no"

    play(story, World())


def test_another_number_where_the_own_one_is_taken() -> None:
    async def story(world: World, mapping: PortMapping) -> None:
        world.refusal = TAKEN
        await asyncio.sleep(60.0)
        assert mapping.outer not in (0, PORT)
        assert len(world.asked) <= TRIES

    play(story, World())


def test_for_ever_where_the_router_knows_nothing_else_and_yet_taken_back() -> None:
    async def story(world: World, mapping: PortMapping) -> None:
        world.refusal = PERMANENT_ONLY
        await asyncio.sleep(60.0)
        assert world.open_ports == {PORT: 0.0}

    play(story, World())


def test_a_router_that_was_restarted_is_asked_at_once() -> None:
    async def story(world: World, mapping: PortMapping) -> None:
        await asyncio.sleep(2 * RETRY_FIRST)
        world.open_ports.clear()
        world.become("private")
        await asyncio.sleep(SETTLE + 1)
        assert world.open_ports == {PORT: LEASE}

    play(story, World())
