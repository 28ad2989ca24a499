"""Leaders die, freeze and are cut off; what was acknowledged stays, and only one acknowledges."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest

from coordinator.group.group import LEADERLESS, Group
from coordinator.storage.segments import Save
from mesh.errors import NoQuorum
from mesh.lifecycle import Tasks
from tests.simulation.group.coordinating_mesh import (
    CoordinatingMesh,
    Coordinator,
    coordinating_mesh,
    refusal_of,
    until,
)
from tests.simulation.group.one_thread import InlineBatches
from tests.simulation.virtual_time import run_virtual

pytestmark = pytest.mark.usefixtures("one_thread")


def now() -> float:
    return asyncio.get_running_loop().time()


def split(
    mesh: CoordinatingMesh, nodes: list[Coordinator], leader: Coordinator
) -> tuple[list[Coordinator], list[Coordinator]]:
    """The leader and, of five, one follower on one side; returns both sides, cut apart."""
    others = [node for node in nodes if node is not leader]
    cut = [leader, *others[: len(nodes) // 2 - 1]]
    rest = [node for node in nodes if node not in cut]
    mesh.network.partition([node.id for node in rest], [node.id for node in cut])
    return cut, rest


async def leader_cut_off(folder: Path, count: int, seed: int) -> None:
    """The story; a deliberate mistake must end it with an AssertionError."""
    async with coordinating_mesh(folder, seed) as mesh:
        nodes = await mesh.found(count)
        leader = await mesh.leader(nodes)
        await leader.write("color", "before")
        cut, rest = split(mesh, nodes, leader)
        async with asyncio.TaskGroup() as asking:
            ends = [asking.create_task(refusal_of(node, "color", "minority")) for node in cut]
            reads = [asking.create_task(read_refused(node, mesh)) for node in cut]
            began = now()
            await mesh.leader(rest, 2.0)
            assert now() - began <= 2.0
            await rest[0].write("color", "majority")
        for end, seconds in [task.result() for task in ends]:
            assert end != "done", "a leader without a majority acknowledged"
            assert seconds <= 2.0
        for value, at, seconds in [task.result() for task in reads]:
            assert value is None or (value == "before" and at - began <= 0.3)
            assert seconds <= 2.0
        for node in cut:
            assert not node.leads
            assert "no leader" in node.coordination.note()
            value, _, _ = await read_refused(node, mesh)
            assert value is None, "a minority answered a read"
        began = now()
        mesh.network.heal()
        await mesh.leader(nodes, 5.0)
        await until(lambda: {node.holds("color") for node in nodes} == {"majority"}, 5.0)
        await leader.write("color", "healed")
        assert now() - began <= 5.0
        assert {await node.read("color") for node in nodes} == {"healed"}


async def read_refused(
    node: Coordinator, mesh: CoordinatingMesh
) -> tuple[str | None, float, float]:
    began = now()
    try:
        value = await node.read("color")
    except (NoQuorum, TimeoutError):
        value = None
    return value, now(), now() - began


@pytest.mark.parametrize("count", [3, 5])
@pytest.mark.parametrize("seed", range(3))
def test_a_leader_that_is_cut_off_stops_and_the_rest_go_on(
    tmp_path: Path, count: int, seed: int
) -> None:
    run_virtual(leader_cut_off(tmp_path, count, seed))


def test_a_minority_that_goes_on_answering_reads_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def believe_yourself(group: Group, left: float) -> int:
        member = group.member
        assert member is not None
        return member.status().applied

    monkeypatch.setattr(Group, "_read_once", believe_yourself)
    with pytest.raises(AssertionError, match="minority answered"):
        run_virtual(leader_cut_off(tmp_path, 3, 0))


def test_a_minority_refuses_soon_however_long_it_lasts(tmp_path: Path) -> None:
    async def story() -> None:
        async with coordinating_mesh(tmp_path, seed=8) as mesh:
            nodes = await mesh.found(3)
            leader = await mesh.leader(nodes)
            for node in nodes:
                if node is not leader:
                    await node.crash()
            await refusal_of(leader, "color", "red")
            for _ in range(3):
                await asyncio.sleep(20.0)
                end, seconds = await refusal_of(leader, "color", "red")
                assert (end, seconds <= LEADERLESS + 0.1) == ("refused", True)

    run_virtual(story())


def test_after_a_crash_another_leads_within_a_second(tmp_path: Path) -> None:
    async def story() -> list[float]:
        async with coordinating_mesh(tmp_path, seed=9) as mesh:
            nodes = await mesh.found(5)
            took = []
            for turn in range(12):
                leader = await mesh.leader(nodes)
                await leader.write("turn", str(turn))
                await leader.crash()
                began = now()
                rest = [node for node in nodes if node is not leader]
                await mesh.leader(rest, 2.0)
                took.append(now() - began)
                assert await rest[0].read("turn") == str(turn)
                await leader.start(nodes)
                await mesh.settle(nodes)
            return took

    took = run_virtual(story())
    assert median(took) <= 1.0
    assert max(took) <= 2.0


def test_a_command_in_the_middle_of_a_crash_is_done_exactly_once(tmp_path: Path) -> None:
    async def story(seed: int) -> None:
        async with coordinating_mesh(tmp_path / str(seed), seed) as mesh:
            nodes = await mesh.found(3)
            leader = await mesh.leader(nodes)
            rest = [node for node in nodes if node is not leader]
            async with asyncio.TaskGroup() as writing:
                writes = [
                    writing.create_task(node.write(f"key-{number}", "x", id=f"{number:032x}"))
                    for number, node in enumerate(rest * 20)
                ]
                await asyncio.sleep(mesh.rng.uniform(0.0, 0.02))
                await leader.crash()
            places = [task.result() for task in writes]
            assert len(set(places)) == len(places)
            again = [
                await node.write(f"key-{number}", "x", id=f"{number:032x}")
                for number, node in enumerate(rest * 20)
            ]
            assert again == places, "asking again did it twice"

    for seed in range(5):
        run_virtual(story(seed))


def test_a_call_right_after_a_death_waits_for_the_election(tmp_path: Path) -> None:
    async def story() -> None:
        async with coordinating_mesh(tmp_path, seed=10) as mesh:
            nodes = await mesh.found(3)
            await asyncio.sleep(20.0)  # nobody asked for long
            leader = await mesh.leader(nodes)
            await leader.crash()
            end, seconds = await refusal_of(next(n for n in nodes if n.running), "color", "red")
            assert (end, seconds <= 1.0) == ("done", True)

    run_virtual(story())


def test_a_frozen_leader_is_replaced_and_does_not_come_back_as_one(tmp_path: Path) -> None:
    async def story() -> None:
        async with coordinating_mesh(tmp_path, seed=11) as mesh:
            nodes = await mesh.found(3)
            leader = await mesh.leader(nodes)
            rest = [node for node in nodes if node is not leader]
            mesh.network.freeze(leader.id)
            successor = await mesh.leader(rest, 2.0)
            await successor.write("color", "red")
            mesh.network.heal()
            assert (await mesh.leader(nodes, 5.0)) is successor
            assert await leader.read("color") == "red"

    run_virtual(story())


def test_an_orderly_stop_loses_no_time(tmp_path: Path) -> None:
    async def story() -> None:
        async with coordinating_mesh(tmp_path, seed=12) as mesh:
            nodes = await mesh.found(3)
            leader = await mesh.leader(nodes)
            rest = [node for node in nodes if node is not leader]
            began = now()
            await leader.stop()
            assert now() - began < 0.2, "the election was waited for"
            await mesh.leader(rest, 0.05)
            end, seconds = await refusal_of(rest[0], "color", "red")
            assert (end, seconds < 0.1) == ("done", True)

    run_virtual(story())


def test_the_lead_is_not_handed_to_the_dead(tmp_path: Path) -> None:
    async def story() -> None:
        async with coordinating_mesh(tmp_path, seed=13) as mesh:
            nodes = await mesh.found(3)
            leader = await mesh.leader(nodes)
            first, second = sorted(
                (node for node in nodes if node is not leader), key=lambda node: node.id
            )
            await first.crash()
            await asyncio.sleep(0.25)
            await leader.stop()
            assert second.knows_of() is None or second.leads
            await first.start(nodes)
            await mesh.leader([first, second], 2.0)

    run_virtual(story())


def nothing() -> None:
    """No mistake."""


async def acknowledged_survives_power_cuts(
    folder: Path, seed: int, mistake: Callable[[], None] = nothing
) -> None:
    """The story: everybody dies at once, again and again, while commands are decided."""
    async with coordinating_mesh(folder, seed) as mesh:
        nodes = await mesh.found(3)
        mistake()
        written: dict[str, str] = {}

        async def write_all(node: Coordinator, turn: int) -> None:
            for number in range(1_000):
                key = f"{turn}-{number}-{node.id[:2]}"
                try:
                    await node.write(key, "x")
                except (NoQuorum, TimeoutError):
                    return
                written[key] = "x"

        for turn in range(4):
            writing = Tasks("clients")
            for node in nodes:
                writing.spawn(write_all(node, turn), "client")
            await asyncio.sleep(mesh.rng.uniform(0.1, 0.3))
            for node in nodes:
                await node.crash()
            await writing.close()
            for node in nodes:
                await node.start(nodes)
            began = now()
            await mesh.leader(nodes, 5.0)
            await nodes[0].read("x")
            assert now() - began <= 5.0
            lost = [key for key in written if nodes[0].holds(key) is None]
            assert not lost, f"acknowledged and lost: {lost[:3]}"
        assert len(written) > 50


@pytest.mark.parametrize("seed", range(3))
def test_what_was_acknowledged_survives_the_death_of_all(tmp_path: Path, seed: int) -> None:
    run_virtual(acknowledged_survives_power_cuts(tmp_path, seed))


def test_acknowledging_before_the_disk_has_it_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = InlineBatches.submit

    def pretend(batches: InlineBatches, job: object) -> asyncio.Future[object]:
        if not isinstance(job, Save):
            return submit(batches, job)
        loop = asyncio.get_running_loop()
        loop.call_later(0.1, lambda: submit(batches, job).add_done_callback(drop))
        done: asyncio.Future[object] = loop.create_future()
        done.set_result(None)
        return done

    def begin() -> None:
        monkeypatch.setattr(InlineBatches, "submit", pretend)

    # Either a command is gone, or all see that their logs lack what was applied and none leads.
    with pytest.raises(AssertionError, match=r"acknowledged and lost|still not true"):
        run_virtual(acknowledged_survives_power_cuts(tmp_path, 0, begin))


def drop(written: asyncio.Future[object]) -> None:
    """Nobody waits for it."""
    if not written.cancelled():
        written.exception()
