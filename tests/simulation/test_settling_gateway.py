"""A gateway that has just started learns who serves what before it says that nobody does."""

from __future__ import annotations

import asyncio

import pytest

from dht.first_look import FirstLook
from mesh.errors import ModelNotFound
from node.settling import SETTLE_SECONDS, Settling
from tests.simulation.serving_mesh import WordsEngine, serving_mesh
from tests.simulation.virtual_time import run_virtual


class Engines:
    """This node's own, looked at after so many seconds."""

    def __init__(self, after: float = 0.0) -> None:
        self._after = after
        self.looked = False

    async def first_look(self) -> None:
        await asyncio.sleep(self._after)
        self.looked = True


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("model", ["m", "nick", "auto"])
def test_a_request_waits_until_the_node_has_compared_with_a_peer(model: str) -> None:
    async def story() -> None:
        look = FirstLook()
        async with serving_mesh(settling=Settling(Engines(), look)) as mesh:
            asked = mesh.tasks.spawn(mesh.ask(model=model), "ask")
            await asyncio.sleep(1.0)
            assert not asked.done()
            with look.comparing():
                worker = mesh.add_worker(WordsEngine())
            text, node, _ = await asked
            assert (text, node) == ("0 1 2 3 4 ", worker)
            assert now() < 2.0

    run_virtual(story())


def test_own_engines_are_waited_for_as_well() -> None:
    async def story() -> None:
        look = FirstLook()
        look.found_nobody()
        async with serving_mesh(settling=Settling(Engines(after=0.5), look)) as mesh:
            with pytest.raises(ModelNotFound):
                await mesh.ask()
            assert 0.5 <= now() < 0.6

    run_virtual(story())


def test_what_is_served_is_not_held_back() -> None:
    async def story() -> None:
        async with serving_mesh(settling=Settling(Engines(), FirstLook())) as mesh:
            mesh.add_worker(WordsEngine())
            await mesh.ask()
            assert now() < 0.6

    run_virtual(story())


def test_after_five_seconds_nobody_waits_any_more() -> None:
    async def story() -> None:
        async with serving_mesh(settling=Settling(Engines(), FirstLook())) as mesh:
            with pytest.raises(ModelNotFound):
                await mesh.ask()
            assert now() == pytest.approx(SETTLE_SECONDS)
            with pytest.raises(ModelNotFound):
                await mesh.ask()
            assert now() == pytest.approx(SETTLE_SECONDS)

    run_virtual(story())


def test_a_client_in_a_hurry_ends_its_own_wait_only() -> None:
    async def story() -> None:
        look = FirstLook()
        async with serving_mesh(settling=Settling(Engines(), look)) as mesh:
            with pytest.raises(ModelNotFound):
                await mesh.ask(deadline=0.5)
            assert now() == pytest.approx(0.5)
            asked = mesh.tasks.spawn(mesh.ask(), "ask")
            await asyncio.sleep(0.1)
            mesh.add_worker(WordsEngine())
            look.found_nobody()
            await asked

    run_virtual(story())
