"""Reads see everything that was acknowledged before, or are refused."""

from __future__ import annotations

import pytest

from coordinator.consensus.parameters import MAX_READS
from coordinator.consensus.ready import ReadResult
from coordinator.consensus.refusal import Backlog, NotLeader
from mesh.wire.consensus import Appended, ConsensusMessage
from tests.unit.coordinator.consensus.cores import TIMES, Cores, grown


def test_a_read_is_confirmed_by_a_majority_at_the_latest_index() -> None:
    cores = grown(3)
    cores.propose(1, b"x")
    number = cores[1].raft.read(cores.now)
    cores.settle()
    assert cores[1].reads == [ReadResult(number, cores[1].applied[-1].index)]


def test_reads_of_one_moment_share_a_round() -> None:
    cores = grown(3)
    before = len([ready for ready in cores[2].readies if ready.messages])
    for _ in range(100):
        cores[1].raft.read(cores.now)
    cores.settle()
    assert len(cores[1].reads) == 100
    assert len([ready for ready in cores[2].readies if ready.messages]) == before + 1


def test_answers_from_before_the_question_do_not_confirm() -> None:
    cores = grown(3)
    late: list[tuple[int, int, ConsensusMessage]] = []

    def hold(sender: int, to: int, message: ConsensusMessage) -> bool:
        if isinstance(message, Appended):
            late.append((sender, to, message))
            return False
        return True

    cores.watch = hold
    cores.run(TIMES.heartbeat * 2)
    cores.watch = lambda sender, to, message: to == 1
    cores[1].raft.read(cores.now)
    cores.settle()
    for item in late:
        cores.deliver(*item)
    cores.settle()
    assert cores[1].reads == []


def test_a_leader_that_loses_the_lead_fails_its_reads() -> None:
    cores = grown(3)
    cores.cut.add(1)
    number = cores[1].raft.read(cores.now)
    cores.run(1.0)
    assert cores[1].reads == [ReadResult(number, None)]
    with pytest.raises(NotLeader):
        cores[1].raft.read(cores.now)


def test_a_new_leader_reads_what_its_predecessors_committed() -> None:
    cores = grown(3)
    cores.watch = lambda sender, to, message: not (sender != 1 and to == 1)
    cores[1].raft.propose(b"x", cores.now)
    cores.settle()
    cores.watch = lambda sender, to, message: True
    cores.cut.add(1)
    cores.run(2.0)
    leader = cores.leader()
    cores[leader].raft.read(cores.now)
    cores.settle()
    (result,) = cores[leader].reads
    assert result.index is not None
    index_of_x = next(e.index for e in cores[leader].applied if e.data == b"x")
    assert result.index > index_of_x


def test_waiting_reads_are_bounded() -> None:
    cores = grown(3)
    with pytest.raises(Backlog):
        for _ in range(MAX_READS + 1):
            cores[1].raft.read(cores.now)


def test_a_lone_voter_confirms_itself() -> None:
    cores = Cores(1)
    cores.run(1.0)
    cores[1].raft.read(cores.now)
    cores.settle()
    assert len(cores[1].reads) == 1
