"""How a group comes into being, grows, and keeps apart from others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mesh.consensus import Members
from mesh.errors import LinkError, NoQuorum, StreamReset
from mesh.ports import StreamKind
from mesh.wire.consensus import VoteRequest, encode
from mesh.wire.group import Applied, Membership, Propose, decode_answer, encode_request
from tests.simulation.group.coordinating_mesh import coordinating_mesh, until
from tests.simulation.virtual_time import run_virtual

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(("count", "voters"), [(1, 1), (2, 1), (3, 3), (4, 3), (5, 5), (7, 5)])
def test_a_group_grows_to_an_odd_number_of_voters(tmp_path: Path, count: int, voters: int) -> None:
    async def story() -> None:
        async with coordinating_mesh(tmp_path, seed=count) as mesh:
            nodes = await mesh.found(count)
            await nodes[-1].write("color", "red")
            assert {await node.read("color") for node in nodes} == {"red"}
            members = nodes[0].members()
            assert members is not None
            assert (len(members.voters), len(members.standbys)) == (voters, count - voters)

    run_virtual(story())


def test_a_node_without_the_right_waits_and_says_so(tmp_path: Path) -> None:
    async def story() -> None:
        async with coordinating_mesh(tmp_path, seed=1) as mesh:
            node = mesh.add()
            await node.start()
            assert "waits to be taken" in node.coordination.note()
            with pytest.raises(NoQuorum, match="not been taken"):
                await node.write("color", "red")
            assert node.members() is None

    run_virtual(story())


def test_whoever_lost_its_folder_does_not_found_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with coordinating_mesh(tmp_path, seed=2) as mesh:
            (node,) = await mesh.found(1)
            await node.crash()
            shutil.rmtree(node.data / "coordinator")
            await node.start()
            assert node.members() is None
            assert "waits to be taken" in node.coordination.note()

    run_virtual(story())


def test_two_founded_groups_refuse_each_other_and_say_so(tmp_path: Path) -> None:
    async def story() -> None:
        async with coordinating_mesh(tmp_path, seed=3) as mesh:
            ours = await mesh.found(3)
            theirs = [mesh.add(founds=not number) for number in range(3)]
            for node in theirs:
                await node.start(theirs)
            await mesh.settle(theirs)
            for node in ours:
                for other in theirs:
                    await node.dial(other)
            everyone = ours + theirs
            await until(lambda: all("another group" in n.coordination.note() for n in everyone), 5)
            await ours[1].write("color", "red")
            await theirs[1].write("color", "blue")
            # Neither list keeps a node of the other group, nor takes it in again.
            await until(
                lambda: is_only(ours[0].members(), 3) and is_only(theirs[0].members(), 3), 5
            )
            assert [node.holds("color") for node in ours] == ["red"] * 3
            assert [node.holds("color") for node in theirs] == ["blue"] * 3

    run_virtual(story())


def is_only(members: Members | None, voters: int) -> bool:
    return members is not None and len(members.voters) == voters and not members.standbys


def test_a_node_without_a_grant_is_not_heard(tmp_path: Path) -> None:
    async def story() -> None:
        async with coordinating_mesh(tmp_path, seed=4) as mesh:
            nodes = await mesh.found(3)
            stranger = mesh.network.join(roles=("worker",))
            group = nodes[0].folder.group()
            assert group is not None
            for node in nodes:
                link = await stranger.connect(node.id, node.links.addresses)
                for request in (Propose(b"x"), Membership(group)):
                    with pytest.raises(LinkError, match="only a coordinator"):
                        await link.call(StreamKind.CONSENSUS, encode_request(request), timeout=2)
            leader = await mesh.leader(nodes)
            term = leader.member.status().term
            link = await stranger.connect(leader.id, leader.links.addresses)
            stream = link.open(StreamKind.CONSENSUS)
            await stream.send(encode_request(Membership(group)))
            with pytest.raises(StreamReset):
                while True:
                    await stream.send(encode(VoteRequest(term + 9, 99, term + 9, forced=True)))
                    assert leader.member.status().term == term
            members = leader.members()
            assert members is not None
            assert stranger.node_id not in members.voters + members.standbys

    run_virtual(story())


def test_a_coordinator_proposes_through_the_leader_from_anywhere(tmp_path: Path) -> None:
    async def story() -> None:
        async with coordinating_mesh(tmp_path, seed=5) as mesh:
            nodes = await mesh.found(4)
            leader = await mesh.leader(nodes)
            standby = next(n for n in nodes if n.id in leader.member.status().members.standbys)
            assert await standby.write("color", "red") > 0
            assert await standby.read("color") == "red"
            link = standby.links.get(leader.id)
            assert link is not None
            data = await link.call(
                StreamKind.CONSENSUS, encode_request(Propose(b"no command")), timeout=2
            )
            answer = decode_answer(data)
            assert isinstance(answer, Applied)
            assert b"not a command" in answer.outcome

    run_virtual(story())


def test_wrong_wall_clocks_change_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with coordinating_mesh(tmp_path, seed=6) as mesh:
            nodes = await mesh.found(3, skews=(600.0, -600.0, 0.0))
            leader = await mesh.leader(nodes)
            for number, node in enumerate(nodes):
                await node.write("color", str(number))
                assert {await each.read("color") for each in nodes} == {str(number)}
            await leader.crash()
            rest = [node for node in nodes if node is not leader]
            await mesh.leader(rest, 2.0)
            await rest[0].write("color", "red")
            assert await rest[1].read("color") == "red"

    run_virtual(story())
