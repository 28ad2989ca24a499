"""Who takes part: one change at a time, and nobody counts who is not there or has forgotten."""

from __future__ import annotations

import pytest

from coordinator.consensus.entry import Members
from coordinator.consensus.membership import Change, changed
from coordinator.consensus.refusal import ChangeRefused, NotLeader
from mesh.wire.consensus import Append, ConsensusMessage, VoteRequest
from tests.unit.coordinator.consensus.cores import TIMES, Cores, grown, node


def test_standbys_receive_everything_and_count_for_nothing() -> None:
    cores = Cores(3)
    cores.run(1.0)
    cores.change(1, "add", 2)
    cores.change(1, "add", 3)
    cores.cut |= {2, 3}
    cores.propose(1, b"x")
    assert cores[1].commands == [b"x"]
    cores.cut.clear()
    cores.run(0.2)
    assert cores[2].commands == cores[3].commands == [b"x"]


def test_an_absent_address_is_never_made_a_voter() -> None:
    cores = Cores(1)
    cores.run(1.0)
    cores.change(1, "add", 9)
    cores.run(1.0)
    with pytest.raises(ChangeRefused):
        cores.change(1, "promote", 9)
    cores.propose(1, b"x")
    assert cores[1].commands == [b"x"]


def test_a_standby_that_fell_silent_is_not_made_a_voter() -> None:
    cores = Cores(2)
    cores.run(1.0)
    cores.change(1, "add", 2)
    cores.run(0.2)
    cores.cut.add(2)
    cores.run(TIMES.election_min + 0.05)
    with pytest.raises(ChangeRefused):
        cores.change(1, "promote", 2)


def test_a_standby_far_behind_is_not_made_a_voter() -> None:
    cores = Cores(2)
    cores.run(1.0)
    for _ in range(100):
        cores.propose(1, b"x")
    cores[1].raft.change_members("add", node(2), cores.now)
    cores.watch = lambda sender, to, message: not (isinstance(message, Append) and message.entries)
    cores.run(0.2)
    with pytest.raises(ChangeRefused):
        cores.change(1, "promote", 2)


def test_one_change_at_a_time() -> None:
    cores = grown(3)
    cores[1].raft.change_members("demote", node(3), cores.now)
    with pytest.raises(ChangeRefused):
        cores[1].raft.change_members("demote", node(2), cores.now)
    cores.settle()
    cores.change(1, "promote", 3)


def test_a_new_leader_changes_nothing_before_its_first_entry_is_committed() -> None:
    cores = grown(3)
    cores.watch = lambda sender, to, message: not (isinstance(message, Append) and sender == 3)
    cores[1].raft.transfer(node(3), cores.now)
    cores.settle()
    with pytest.raises(ChangeRefused):
        cores[3].raft.change_members("demote", node(2), cores.now)


def test_only_the_leader_changes_members() -> None:
    cores = grown(3)
    with pytest.raises(NotLeader):
        cores.change(2, "demote", 3)


def test_a_change_that_was_never_committed_is_undone() -> None:
    cores = grown(3)
    cores.cut.add(1)
    cores[1].raft.change_members("demote", node(3), cores.now)
    cores.settle()
    assert cores.members(1).voters == (node(1), node(2))
    cores.run(2.0)
    cores.cut.clear()
    cores.run(1.0)
    assert set(cores.members(1).voters) == {node(1), node(2), node(3)}


def test_a_leader_takes_itself_out_and_calls_a_successor() -> None:
    cores = grown(3)
    cores.change(1, "remove", 1)
    cores.run(0.2)
    assert cores.leader() in (2, 3)
    assert set(cores.members(2).voters) == {node(2), node(3)}
    cores.propose(cores.leader(), b"x")
    cores.run(0.2)
    assert cores[2].commands == [b"x"]
    assert not cores[1].raft.is_leader


def test_a_removed_member_that_does_not_know_disturbs_nobody() -> None:
    cores = grown(4)
    cores.cut.add(4)
    cores.change(1, "remove", 4)
    cores.run(0.2)
    term = cores[1].hard.term
    cores.cut.clear()
    cores.run(3.0)
    assert cores.leader() == 1
    assert cores[1].hard.term == term


def test_two_voters_survive_a_crash_while_one_takes_itself_out() -> None:
    cores = grown(2)
    cores.watch = lambda sender, to, message: False
    cores[1].raft.change_members("remove", node(1), cores.now)
    cores.settle()
    cores.restart(1)  # alone it has the list without itself
    cores.watch = lambda sender, to, message: True
    cores.run(3.0)
    assert cores.leader() == 2
    assert cores.members(2).voters == (node(2),)


def test_no_change_leaves_a_majority_that_does_not_answer() -> None:
    cores = grown(3)
    cores.cut.add(3)
    cores.run(TIMES.election_min + 0.05)
    with pytest.raises(ChangeRefused):
        cores.change(1, "demote", 2)
    cores.change(1, "demote", 3)
    assert cores.members(1).voters == (node(1), node(2))


ONE, TWO, THREE = node(1), node(2), node(3)


@pytest.mark.parametrize(
    ("members", "change", "subject"),
    [
        (Members((ONE,)), "add", 1),
        (Members((ONE,)), "promote", 2),
        (Members((ONE,), (TWO,)), "demote", 2),
        (Members((ONE,), (TWO,)), "demote", 1),
        (Members((ONE,)), "remove", 1),
        (Members((ONE,)), "remove", 3),
        (Members(tuple(node(n) for n in range(1, 6)), (node(6),)), "promote", 6),
        (Members((ONE,), tuple(node(n) for n in range(2, 34))), "add", 40),
    ],
)
def test_lists_that_make_no_sense_are_refused(
    members: Members, change: Change, subject: int
) -> None:
    with pytest.raises(ChangeRefused):
        changed(members, change, node(subject))


def wiped(cores: Cores, number: int) -> None:
    """Its disk is empty, and it knows."""
    fresh = Cores(number)[number]
    cores.by_number[number] = fresh.restarted(cores.now, lost=77)


def test_a_member_that_lost_its_disk_counts_for_nothing_until_it_came_back_as_a_standby() -> None:
    cores = grown(3)
    cores.propose(1, b"x")
    wiped(cores, 3)
    cores.run(0.3)
    assert cores[3].commands == [b"x"]  # it is sent everything
    cores.cut.add(2)
    cores[1].raft.propose(b"y", cores.now)
    cores.settle()
    assert cores[1].commands == [b"x"]  # one of three
    cores.cut.clear()
    cores.run(0.3)
    with pytest.raises(ChangeRefused):
        cores.change(1, "demote", 2)  # one and the forgetful are no majority
    cores.change(1, "demote", 3)
    cores.run(0.2)
    assert cores[3].lost == 0
    cores.change(1, "promote", 3)
    cores.cut.add(2)
    cores.propose(1, b"z")
    assert cores[1].commands[-1] == b"z"


def test_a_member_that_lost_its_disk_gives_no_vote_and_does_not_stand() -> None:
    cores = grown(3)
    wiped(cores, 3)
    cores.run(0.3)
    cores.cut.add(1)
    cores.run(3.0)
    assert not cores[2].raft.is_leader
    assert not cores[3].raft.is_leader
    last = cores[2].log[-1]
    request = VoteRequest(90, last.index + 9, last.term + 9, forced=True)
    cores[3].raft.receive(request, node(2), cores.now)
    cores.settle()
    assert cores[3].hard.vote is None


def test_a_member_with_an_older_state_folder_is_found_out() -> None:
    cores = grown(3)
    old = cores[3]
    kept = (old.hard, list(old.log))
    for number in range(20):
        cores.propose(1, b"%d" % number)
    back = old.restarted(cores.now)
    back.hard, back.log = kept
    cores.by_number[3] = back.restarted(cores.now)
    cores.run(0.5)
    assert cores[3].lost != 0
    assert cores[3].raft.peers(cores.now) == {}
    assert not cores[1].raft.peers(cores.now)[node(3)].counts
    assert cores[3].commands == cores[1].commands  # caught up all the same
    cores.change(1, "demote", 3)
    cores.run(0.2)
    cores.change(1, "promote", 3)
    assert cores[3].lost == 0


def test_an_overtaken_answer_does_not_look_like_an_older_folder() -> None:
    cores = grown(3)
    held: list[ConsensusMessage] = []

    def hold(sender: int, to: int, message: ConsensusMessage) -> bool:
        if sender == 3 and to == 1 and not held:
            held.append(message)
            return False
        return True

    cores.watch = hold
    for number in range(5):
        cores.propose(1, b"%d" % number)
    cores.run(0.3)
    cores[1].raft.receive(held[0], node(3), cores.now)
    cores.run(0.3)
    assert cores[1].raft.peers(cores.now)[node(3)].counts
