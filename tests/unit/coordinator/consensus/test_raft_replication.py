"""Entries reach everyone, in bounded messages, and count only where they are durable."""

from __future__ import annotations

import pytest

from coordinator.consensus.entry import Entry, HardState, SnapshotMark, Stored
from coordinator.consensus.parameters import MAX_IN_FLIGHT, MAX_UNCOMMITTED
from coordinator.consensus.ready import Fate, Position
from coordinator.consensus.refusal import Backlog
from mesh.errors import StorageError
from mesh.wire.consensus import MAX_BATCH, Append, Appended, ConsensusMessage
from tests.unit.coordinator.consensus.cores import Core, grown, node


def test_everyone_applies_the_same_in_the_same_order() -> None:
    cores = grown(5)
    for number in range(50):
        cores.propose(1, b"%d" % number)
    cores.run(0.2)
    assert cores[1].commands == [b"%d" % number for number in range(50)]
    assert all(core.applied == cores[1].applied for core in cores.by_number.values())


def test_many_proposals_share_few_messages() -> None:
    cores = grown(3)
    sent: list[Append] = []

    def note(sender: int, to: int, message: ConsensusMessage) -> bool:
        if isinstance(message, Append):
            sent.append(message)
        return True

    cores.watch = note
    for _ in range(1000):
        cores[1].raft.propose(b"x", cores.now)
    cores.settle()
    assert len(cores[2].commands) == 1000
    assert len([message for message in sent if message.entries]) <= 12


def test_large_commands_are_split_over_messages() -> None:
    cores = grown(3)
    sent: list[int] = []

    def weigh(sender: int, to: int, message: ConsensusMessage) -> bool:
        if isinstance(message, Append):
            sent.append(sum(len(entry.data) for entry in message.entries))
        return True

    cores.watch = weigh
    for _ in range(10):
        cores[1].raft.propose(bytes(200_000), cores.now)
    cores.settle()
    assert len(cores[3].commands) == 10
    assert max(sent) <= MAX_BATCH


def test_only_so_many_messages_are_on_their_way() -> None:
    cores = grown(3)
    sent: list[Append] = []

    def swallow(sender: int, to: int, message: ConsensusMessage) -> bool:
        if isinstance(message, Append) and to == 2:
            sent.append(message)
        return to != 2

    cores.watch = swallow
    for _ in range(40):
        cores.propose(1, b"x")
    assert len(sent) == MAX_IN_FLIGHT
    cores.watch = lambda sender, to, message: True
    cores.run(0.3)
    assert cores[2].commands == cores[1].commands


def test_a_leader_refuses_more_than_its_bound() -> None:
    cores = grown(3)
    cores.cut |= {2, 3}
    with pytest.raises(Backlog):
        for _ in range(MAX_UNCOMMITTED + 1):
            cores[1].raft.propose(b"", cores.now)
    cores.cut.clear()
    cores.run(0.2)
    cores.propose(1, b"again")
    assert cores[1].commands[-1] == b"again"


def test_bytes_are_bounded_too_and_freed_by_commits() -> None:
    cores = grown(3)
    for _ in range(3):
        count = 0
        with pytest.raises(Backlog):
            while True:
                cores[1].raft.propose(bytes(256 * 1024), cores.now)
                count += 1
        assert count == 64
        cores.settle()


def test_a_leader_sends_before_its_disk_is_done_but_does_not_count_itself() -> None:
    cores = grown(3)
    cores.cut.add(3)
    cores[1].raft.propose(b"x", cores.now)
    ready = cores[1].raft.ready(cores.now)
    assert ready is not None
    assert {type(message) for _, message in ready.at_once} == {Append}
    for to, message in ready.at_once:
        cores.deliver(1, int(to, 16), message)
    cores._pump(2)
    assert cores[1].raft.status(cores.now).commit < ready.entries[-1].index
    cores[1].keep(ready)
    cores[1].raft.saved(ready)
    cores.settle()
    assert cores[1].commands == [b"x"]


def test_answers_wait_for_the_disk() -> None:
    cores = grown(3)
    cores.watch = lambda sender, to, message: to != 3
    cores.propose(1, b"x")
    (sent,) = [m for to, m in cores[1].readies[-2].at_once if to == node(3)]
    cores[3].raft.receive(sent, node(1), cores.now)
    ready = cores[3].raft.ready(cores.now)
    assert ready is not None
    assert [type(message) for _, message in ready.messages] == [Appended]
    assert ready.entries
    assert not ready.at_once


def test_nothing_new_is_handed_out_while_the_disk_writes() -> None:
    cores = grown(3)
    cores[1].raft.propose(b"x", cores.now)
    first = cores[1].raft.ready(cores.now)
    assert first is not None
    cores[1].raft.propose(b"y", cores.now)
    assert cores[1].raft.ready(cores.now) is None
    cores[1].raft.saved(first)
    second = cores[1].raft.ready(cores.now)
    assert second is not None
    assert [entry.data for entry in second.entries] == [b"y"]


def test_a_deposed_leader_learns_what_became_of_its_proposals() -> None:
    cores = grown(3)
    cores.propose(1, b"kept")
    cores.cut.add(1)
    position = cores[1].raft.propose(b"lost", cores.now)
    cores.settle()
    cores.run(2.0)
    assert cores[1].fates[-1].outcome == "applied"  # nothing is known of the other yet
    cores.propose(cores.leader(), b"other")
    cores.cut.clear()
    cores.run(0.5)
    assert cores[1].fates[-1] == Fate(position, "superseded")
    assert [core.commands for core in cores.by_number.values()] == [[b"kept", b"other"]] * 3


def test_an_old_leaders_entry_that_survives_counts_as_applied() -> None:
    cores = grown(3)
    cores.watch = lambda sender, to, message: not (sender == 2 and to == 1)
    cores.cut.add(3)
    position = cores[1].raft.propose(b"x", cores.now)
    cores.settle()  # number 2 has it, number 1 does not know
    cores.watch = lambda sender, to, message: True
    cores.cut = {1}
    cores.run(2.0)
    assert cores.leader() == 2
    cores.cut.clear()
    cores.run(0.5)
    assert cores[1].fates[-1] == Fate(position, "applied")


def test_a_long_wrong_tail_is_replaced_in_few_messages() -> None:
    cores = grown(3)
    cores.cut.add(1)
    for _ in range(500):
        cores[1].raft.propose(b"wrong", cores.now)
    cores.settle()
    cores.run(2.0)
    cores.propose(cores.leader(), b"right")
    cores.cut.clear()
    refused: list[Appended] = []

    def count(sender: int, to: int, message: ConsensusMessage) -> bool:
        if isinstance(message, Appended) and sender == 1 and not message.ok:
            refused.append(message)
        return True

    cores.watch = count
    cores.run(0.5)
    assert cores[1].commands == [b"right"]
    assert len(refused) <= 4


def follower(*terms: int) -> Core:
    entries = [Entry(index, term, "command", b"") for index, term in enumerate(terms, start=1)]
    return Core(2, Stored(HardState(terms[-1]), SnapshotMark(), tuple(entries)))


def entry(index: int, term: int) -> Entry:
    return Entry(index, term, "command", b"")


@pytest.mark.parametrize(
    ("message", "ok", "index", "terms"),
    [
        (Append(5, 3, 2, 0, 0), True, 3, [1, 1, 2]),
        (Append(5, 9, 5, 0, 0), False, 3, [1, 1, 2]),
        (Append(5, 3, 4, 0, 0), False, 3, [1, 1, 2]),
        (Append(5, 3, 1, 0, 0), False, 2, [1, 1, 2]),
        (Append(5, 2, 1, 0, 0, (entry(3, 2), entry(4, 5))), True, 4, [1, 1, 2, 5]),
        (Append(5, 1, 1, 0, 0, (entry(2, 1),)), True, 2, [1, 1, 2]),
        (Append(5, 1, 1, 0, 0, (entry(2, 3),)), True, 2, [1, 3]),
        (Append(5, 0, 0, 0, 0, (entry(1, 5),)), True, 1, [5]),
    ],
)
def test_a_follower_compares_before_it_stores(
    message: Append, ok: bool, index: int, terms: list[int]
) -> None:
    core = follower(1, 1, 2)
    core.raft.receive(message, node(1), 0.0)
    ready = core.raft.ready(0.0)
    assert ready is not None
    core.keep(ready)
    ((_, answer),) = ready.messages
    assert isinstance(answer, Appended)
    assert (answer.ok, answer.index) == (ok, index)
    assert [item.term for item in core.log] == terms


def test_a_follower_commits_only_what_was_compared() -> None:
    core = follower(1, 1, 2)
    core.raft.receive(Append(5, 2, 1, 3, 0), node(1), 0.0)
    ready = core.raft.ready(0.0)
    assert ready is not None
    assert [item.index for item in ready.committed] == [1, 2]


def test_a_leader_that_contradicts_what_is_committed_is_refused_loudly() -> None:
    core = follower(1, 1, 2)
    core.raft.receive(Append(5, 3, 2, 3, 0), node(1), 0.0)
    core.raft.receive(Append(6, 3, 2, 3, 0, (entry(4, 6),)), node(3), 0.0)
    with pytest.raises(StorageError):
        core.raft.receive(Append(7, 3, 2, 3, 0, (Entry(3, 7, "command", b"other"),)), node(3), 0.0)


def test_entries_overwritten_while_the_disk_writes_do_not_count_as_durable() -> None:
    core = follower(1)
    core.raft.receive(Append(2, 1, 1, 0, 0, (entry(2, 2), entry(3, 2))), node(1), 0.0)
    first = core.raft.ready(0.0)
    assert first is not None
    core.raft.receive(Append(3, 1, 1, 0, 0, (entry(2, 3),)), node(3), 0.0)
    core.raft.saved(first)
    second = core.raft.ready(0.0)
    assert second is not None
    assert second.entries == (entry(2, 3),)


def test_a_state_machine_beyond_the_log_is_refused() -> None:
    stored = Stored(HardState(1), SnapshotMark(), (entry(1, 1),))
    core = Core(1, stored)
    with pytest.raises(StorageError):
        type(core.raft)(node(1), stored, applied=2, now=0.0, rng=core.raft._state.rng)


def test_positions_name_term_and_index() -> None:
    cores = grown(1)
    assert cores[1].raft.propose(b"x", cores.now) == Position(3, 2)
