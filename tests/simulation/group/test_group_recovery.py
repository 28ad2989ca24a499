"""Members that come back with less than they had, or far behind."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from coordinator.group import folder, member
from coordinator.group.shipping import Shipping
from coordinator.group.transport import Transport
from coordinator.storage.log_store import DurableLog
from mesh.consensus import Members
from mesh.errors import StorageError
from mesh.ids import NodeId
from mesh.wire.consensus import ConsensusMessage, SnapshotChunk, VoteAnswer
from tests.simulation.group.coordinating_mesh import (
    Coordinator,
    coordinating_mesh,
    refusal_of,
    until,
)
from tests.simulation.virtual_time import run_virtual

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def small_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the log every few entries."""
    monkeypatch.setattr(member, "COMPACT_BYTES", 4_000)


async def write_many(node: Coordinator, count: int, prefix: str = "key") -> None:
    async with asyncio.TaskGroup() as writing:
        for number in range(count):
            writing.create_task(node.write(f"{prefix}-{number}", "x" * 100))


def mark_of(node: Coordinator) -> int:
    return node.member._raft._state.log.mark.index


def lost_of(node: Coordinator) -> int:
    return node.member._raft._state.lost


def votes(node: Coordinator) -> bool:
    members = node.members()
    return members is not None and node.id in members.voters


@pytest.mark.usefixtures("small_log")
def test_a_member_far_behind_gets_a_snapshot(tmp_path: Path) -> None:
    async def story() -> None:
        async with coordinating_mesh(tmp_path, seed=20) as mesh:
            nodes = await mesh.found(3)
            leader = await mesh.leader(nodes)
            late = next(node for node in nodes if node is not leader)
            await late.crash()
            for turn in range(4):
                await write_many(leader, 100, f"turn{turn}")
            assert mark_of(leader) > 100
            await late.start(nodes)
            await until(lambda: late.holds("turn3-99") is not None, 10.0)
            assert late.member._shipping.installed == 1
            assert late.holds("turn0-0") is not None
            await same_state(nodes)

    run_virtual(story())


async def same_state(nodes: list[Coordinator]) -> None:
    """All hold the same rows, once they have applied the same."""

    def same() -> bool:
        states = [node.coordination.state for node in nodes]
        return len({state.rows.digest() for state in states if state is not None}) == 1

    await until(same, 5.0)


@pytest.mark.usefixtures("small_log")
def test_a_newcomer_to_a_shortened_log_becomes_a_voter(tmp_path: Path) -> None:
    async def story() -> None:
        async with coordinating_mesh(tmp_path, seed=21) as mesh:
            (first,) = await mesh.found(1)
            await write_many(first, 300)
            late = [mesh.add() for _ in range(2)]
            for node in late:
                await node.start(mesh.nodes)
            await mesh.settle([first, *late])
            assert [node.holds("key-299") is not None for node in late] == [True, True]
            assert [lost_of(node) for node in late] == [0, 0]

    run_virtual(story())


@pytest.mark.usefixtures("small_log")
def test_a_log_is_not_shortened_at_every_batch(tmp_path: Path) -> None:
    async def story() -> None:
        async with coordinating_mesh(tmp_path, seed=22) as mesh:
            (node,) = await mesh.found(1)
            marks = set()
            for number in range(400):
                await node.write(f"key-{number}", "x" * 50)
                marks.add(mark_of(node))
            assert 2 <= len(marks) <= 40

    run_virtual(story())


@pytest.mark.usefixtures("small_log")
def test_a_crash_while_a_snapshot_is_installed_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with coordinating_mesh(tmp_path, seed=23) as mesh:
            nodes = await mesh.found(3)
            leader = await mesh.leader(nodes)
            late = next(node for node in nodes if node is not leader)
            await late.crash()
            for turn in range(3):
                await write_many(leader, 100, f"turn{turn}")
            install, reached = Shipping.install, asyncio.Event()

            async def hang_after(shipping: Shipping, mark: object) -> bool:
                await install(shipping, mark)  # type: ignore[arg-type]
                reached.set()
                await asyncio.Event().wait()
                return True

            monkeypatch.setattr(Shipping, "install", hang_after)
            await late.start(nodes)
            async with asyncio.timeout(10):
                await reached.wait()
            await late.crash()
            monkeypatch.setattr(Shipping, "install", install)
            await late.start(nodes)
            assert lost_of(late) == 0
            assert mark_of(late) > 0
            assert not list(late.data.rglob("*damaged*"))
            await until(lambda: late.holds("turn2-99") is not None, 5.0)
            await same_state(nodes)

    run_virtual(story())


@pytest.mark.usefixtures("small_log")
def test_a_snapshot_spoilt_on_its_way_is_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with coordinating_mesh(tmp_path, seed=24) as mesh:
            (first,) = await mesh.found(1)
            await write_many(first, 300)
            spoilt = 0
            send = Transport.send

            def spoil(transport: Transport, to: NodeId, message: ConsensusMessage) -> None:
                nonlocal spoilt
                if isinstance(message, SnapshotChunk) and spoilt < 2:
                    spoilt += 1
                    data = bytes(len(message.data))
                    message = SnapshotChunk(
                        message.term,
                        message.mark,
                        message.digest,
                        message.offset,
                        data,
                        message.done,
                    )
                send(transport, to, message)

            monkeypatch.setattr(Transport, "send", spoil)
            late = mesh.add()
            await late.start(mesh.nodes)
            await until(lambda: late.holds("key-299") is not None, 20.0)
            assert spoilt == 2

    run_virtual(story())


async def wiped_member_is_taken_back(folder_path: Path, seed: int) -> None:
    """The story; ignoring `lost` must end it with an AssertionError."""
    async with coordinating_mesh(folder_path, seed) as mesh:
        nodes = await mesh.found(3)
        leader = await mesh.leader(nodes)
        follower, wiped = [node for node in nodes if node is not leader]
        # Decided by the leader and the one that will be wiped; the third knows nothing of it.
        mesh.network.partition([leader.id, wiped.id], [follower.id])
        await write_many(leader, 20)
        await leader.crash()
        await wiped.crash()
        shutil.rmtree(wiped.data / "coordinator")
        mesh.network.heal()
        await wiped.start(nodes)
        await follower.dial(wiped)
        await asyncio.sleep(3.0)
        # A majority is there, but only if one counts who forgot what it had acknowledged.
        assert not follower.leads and not wiped.leads, "who lost its state was counted"
        end, _ = await refusal_of(follower, "color", "red")
        assert end != "done"
        await leader.start(nodes)
        await mesh.leader([leader, follower], 5.0)
        for node in (leader, follower):
            assert await node.read("key-19") is not None, "acknowledged and lost"
        await until(lambda: votes(wiped) and lost_of(wiped) == 0, 20.0)
        await mesh.settle(nodes)
        await same_state(nodes)


@pytest.mark.parametrize("seed", range(3))
def test_a_wiped_member_does_not_count_until_it_is_taken_back(tmp_path: Path, seed: int) -> None:
    run_virtual(wiped_member_is_taken_back(tmp_path, seed))


def test_a_member_that_forgets_that_it_was_wiped_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "is_blank", lambda _: False)

    with pytest.raises(AssertionError, match="was counted"):
        run_virtual(wiped_member_is_taken_back(tmp_path, 0))


def test_being_lost_is_not_forgotten_by_another_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with coordinating_mesh(tmp_path, seed=26) as mesh:
            nodes = await mesh.found(3)
            leader = await mesh.leader(nodes)
            wiped = next(node for node in nodes if node is not leader)
            await wiped.crash()
            shutil.rmtree(wiped.data / "coordinator" / "log")

            async def die_before_it_is_written(*_: object, **__: object) -> None:
                raise StorageError("killed here")

            with monkeypatch.context() as dying:
                dying.setattr(DurableLog, "save", die_before_it_is_written)
                with pytest.raises(StorageError, match="killed here"):
                    await wiped.start(nodes)
            await wiped.crash()
            assert (wiped.data / "coordinator" / "log").exists()
            await wiped.start(nodes)
            assert lost_of(wiped) != 0
            await until(lambda: votes(wiped) and lost_of(wiped) == 0, 20.0)

    run_virtual(story())


def test_a_wiped_member_gives_no_vote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[NodeId] = []
    send = Transport.send

    def watch(transport: Transport, to: NodeId, message: ConsensusMessage) -> None:
        if isinstance(message, VoteAnswer) and message.granted:
            given.append(transport._own)
        send(transport, to, message)

    async def story() -> None:
        async with coordinating_mesh(tmp_path, seed=27) as mesh:
            nodes = await mesh.found(5)
            leader = await mesh.leader(nodes)
            wiped = next(node for node in nodes if node is not leader)
            await wiped.crash()
            shutil.rmtree(wiped.data / "coordinator")
            await wiped.start()  # nobody is told: it stays alone for now
            monkeypatch.setattr(Transport, "send", watch)
            await leader.crash()
            rest = [node for node in nodes if node.running]
            await mesh.leader([node for node in rest if node is not wiped], 3.0)
            assert given
            assert wiped.id not in given
            await until(lambda: votes(wiped) and lost_of(wiped) == 0, 30.0)

    run_virtual(story())


def test_an_older_copy_of_a_folder_is_noticed(tmp_path: Path) -> None:
    async def story() -> None:
        async with coordinating_mesh(tmp_path, seed=28) as mesh:
            nodes = await mesh.found(3)
            leader = await mesh.leader(nodes)
            old = next(node for node in nodes if node is not leader)
            await old.crash()
            shutil.copytree(old.data, tmp_path / "backup")
            await old.start(nodes)
            await write_many(leader, 50)
            await until(lambda: old.holds("key-49") is not None, 5.0)
            await old.crash()
            shutil.rmtree(old.data)
            shutil.copytree(tmp_path / "backup", old.data)
            seen = []
            await old.start(nodes)

            def taken_back() -> bool:
                seen.append(lost_of(old) != 0)
                return any(seen) and lost_of(old) == 0 and votes(old)

            await until(taken_back, 20.0)
            assert old.holds("key-49") is not None

    run_virtual(story())


def test_a_dead_voter_is_replaced_and_stands_by_when_it_returns(tmp_path: Path) -> None:
    async def story() -> None:
        async with coordinating_mesh(tmp_path, seed=29) as mesh:
            nodes = await mesh.found(4)
            leader = await mesh.leader(nodes)
            dead = next(node for node in nodes if node is not leader and votes(node))
            standby = next(node for node in nodes if not votes(node))
            await dead.crash()
            await until(lambda: votes(standby) and has_voters(leader, 3), 10.0)
            members = leader.members()
            assert members is not None and dead.id in members.standbys
            await dead.start(nodes)
            await until(lambda: dead.members() == members, 10.0)
            before = members
            await asyncio.sleep(20.0)
            assert leader.members() == before, "the list flaps"

    run_virtual(story())


def has_voters(node: Coordinator, count: int) -> bool:
    members: Members | None = node.members()
    return members is not None and len(members.voters) == count


def test_members_find_each_other_again_when_nobody_can_tell_them_where(tmp_path: Path) -> None:
    async def story() -> None:
        async with coordinating_mesh(tmp_path, seed=33) as mesh:
            nodes = await mesh.found(4)
            await nodes[1].write("color", "red")
            await asyncio.sleep(1.0)
            for node in nodes:
                await node.crash()
                node.asks = False
            for node in nodes:
                await node.start()
            await mesh.leader(nodes, 5.0)
            await until(lambda: {node.holds("color") for node in nodes} == {"red"}, 5.0)

    run_virtual(story())
