"""Who leads, who may ask for it, and when a leader stops."""

from __future__ import annotations

import pytest

from coordinator.consensus.refusal import Backlog, ChangeRefused, NotLeader
from mesh.wire.consensus import VoteAnswer, VoteRequest
from tests.unit.coordinator.consensus.cores import TIMES, Cores, grown, node


def answers(cores: Cores, number: int, request: VoteRequest, sender: int) -> list[VoteAnswer]:
    """What one member answers to one request, with all others out of the way."""
    cores[number].raft.receive(request, node(sender), cores.now)
    ready = cores[number].raft.ready(cores.now)
    if ready is None:
        return []
    cores[number].keep(ready)
    cores[number].raft.saved(ready)
    assert not [item for item in ready.at_once if isinstance(item[1], VoteAnswer)]
    return [message for _, message in ready.messages if isinstance(message, VoteAnswer)]


def test_a_founder_leads_alone_and_commits() -> None:
    cores = Cores(1)
    cores.run(TIMES.election_max + 0.1)
    cores.propose(1, b"x")
    assert cores[1].commands == [b"x"]


def test_who_is_in_no_list_never_stands() -> None:
    cores = Cores(2)
    cores.run(3.0)
    assert cores[2].hard.term == 0
    assert not cores[2].readies


def test_a_leader_that_dies_is_replaced_in_time() -> None:
    cores = grown(3)
    cores.cut.add(1)
    cores.run(2 * TIMES.election_max)
    assert cores.leader() in (2, 3)


def test_a_closed_link_brings_the_election_forward() -> None:
    cores = grown(3)
    cores.cut.add(1)
    for number in (2, 3):
        cores[number].raft.peer_down(node(1), cores.now)
    cores.run(TIMES.election_min - 0.05)
    assert cores.leader() in (2, 3)


def test_one_broken_link_unseats_nobody() -> None:
    cores = grown(3)
    term = cores[1].hard.term
    cores[2].raft.peer_down(node(1), cores.now)
    cores.run(1.0)
    assert cores.leader() == 1
    assert cores[1].hard.term == term


def test_a_member_that_was_cut_off_comes_back_without_a_new_election() -> None:
    cores = grown(3)
    term = cores[1].hard.term
    cores.cut.add(3)
    cores.run(5.0)
    assert cores[3].hard.term == term  # only pre-votes
    cores.cut.clear()
    cores.run(1.0)
    assert cores.leader() == 1
    assert cores[1].hard.term == term


def test_a_leader_without_its_majority_steps_down_and_refuses() -> None:
    cores = grown(3)
    cores.cut |= {2, 3}
    cores.run(TIMES.election_min + 2 * TIMES.heartbeat)
    assert not cores[1].raft.is_leader
    assert cores[1].raft.status(cores.now).leader is None
    with pytest.raises(NotLeader):
        cores[1].raft.propose(b"x", cores.now)
    with pytest.raises(NotLeader):
        cores[1].raft.read(cores.now)


def test_who_heard_a_leader_lately_ignores_candidates_but_not_the_leaders_successor() -> None:
    cores = grown(3)
    term, last = cores[2].hard.term, cores[2].log[-1]
    request = VoteRequest(term + 1, last.index, last.term)
    assert answers(cores, 2, request, 3) == []
    assert cores[2].hard.term == term
    forced = VoteRequest(term + 1, last.index, last.term, forced=True)
    assert answers(cores, 2, forced, 3) == [VoteAnswer(term + 1, True)]


def test_one_vote_a_term_also_after_a_restart() -> None:
    cores = grown(3)
    last = cores[2].log[-1]
    request = VoteRequest(90, last.index, last.term, forced=True)
    assert answers(cores, 2, request, 3) == [VoteAnswer(90, True)]
    assert answers(cores, 2, request, 1) == [VoteAnswer(90, False)]
    cores.by_number[2] = cores[2].restarted(cores.now)
    assert answers(cores, 2, request, 1) == [VoteAnswer(90, False)]
    assert answers(cores, 2, request, 3) == [VoteAnswer(90, True)]


@pytest.mark.parametrize(
    ("index", "term", "granted"), [(-1, 0, False), (0, 0, True), (-5, 1, True)]
)
def test_a_vote_goes_to_logs_as_complete_as_the_own(index: int, term: int, granted: bool) -> None:
    cores = grown(3)
    last = cores[2].log[-1]
    request = VoteRequest(90, last.index + index, last.term + term, forced=True)
    assert answers(cores, 2, request, 3) == [VoteAnswer(90, granted)]


def test_the_lead_is_handed_over() -> None:
    cores = grown(3)
    cores[1].raft.transfer(node(3), cores.now)
    cores.settle()
    assert cores.leader() == 3
    cores.propose(3, b"x")
    cores.run(0.2)
    assert cores[1].commands == [b"x"]


def test_nothing_is_proposed_while_the_lead_is_handed_to_somebody_who_is_gone() -> None:
    cores = grown(3)
    cores.cut.add(3)
    cores.propose(1, b"x")
    cores[1].raft.transfer(node(3), cores.now)
    with pytest.raises(Backlog):
        cores[1].raft.propose(b"y", cores.now)
    cores.run(TIMES.election_min + 0.1)
    cores.propose(1, b"y")
    assert cores[1].commands == [b"x", b"y"]


def test_only_a_voter_gets_the_lead() -> None:
    cores = grown(3)
    with pytest.raises(ChangeRefused):
        cores[1].raft.transfer(node(9), cores.now)
    with pytest.raises(NotLeader):
        cores[2].raft.transfer(node(3), cores.now)


def test_a_lone_voter_does_not_lead_before_its_own_vote_is_durable() -> None:
    cores = Cores(1)
    raft = cores[1].raft
    raft.tick(TIMES.election_max)
    ready = raft.ready(TIMES.election_max)
    assert ready is not None
    assert ready.hard is not None
    assert ready.hard.vote == node(1)
    assert not raft.is_leader
    raft.saved(ready)
    assert raft.ready(TIMES.election_max) is not None
    assert raft.is_leader
