"""Members that need what the log has forgotten get a snapshot, chunk by chunk."""

from __future__ import annotations

from coordinator.consensus.entry import Members, SnapshotMark
from coordinator.consensus.ready import ChunkNeeded, ChunkReceived, Fate, Ready
from mesh.wire.consensus import Append, ChunkAnswer, ConsensusMessage, SnapshotChunk
from tests.unit.coordinator.consensus.cores import TIMES, Core, Cores, grown, node

WHOLE = b"0123456789"
CHUNK = 4


def behind() -> Cores:
    """Three voters; number 3 was away while the leader forgot its log."""
    cores = grown(3)
    cores.cut.add(3)
    for number in range(20):
        cores.propose(1, b"%d" % number)
    mark = cores[1].raft.compact(cores[1].applied[-1].index, cores.now)
    assert mark is not None
    cores.cut.clear()
    return cores


def needed(core: Core, since: int) -> list[ChunkNeeded]:
    return [need for ready in core.readies[since:] for need in ready.needed]


def received(core: Core) -> list[ChunkReceived]:
    return [chunk for ready in core.readies for chunk in ready.received]


def give(cores: Cores, need: ChunkNeeded, digest: bytes = b"d") -> SnapshotChunk:
    """Answer a need as a driver would."""
    mark = need.mark or cores[1].raft.mark_at(cores[1].applied[-1].index)
    data = WHOLE[need.offset : need.offset + CHUNK]
    done = need.offset + len(data) == len(WHOLE)
    chunk = SnapshotChunk(0, mark, digest, need.offset, data, done)
    cores[1].raft.send_chunk(need.to, chunk)
    cores.settle()
    return chunk


def give_all(cores: Cores, digest: bytes = b"d") -> SnapshotMark:
    """Answer needs until the last chunk is gone."""
    seen = len(cores[1].readies)
    cores.run(0.2)
    for _ in range(50):
        for need in needed(cores[1], seen):
            seen = len(cores[1].readies)
            chunk = give(cores, need, digest)
            if chunk.done:
                return chunk.mark
        cores.run(0.05)
    raise AssertionError("no last chunk was asked for")


def test_a_member_is_brought_back_by_a_snapshot_and_goes_on_with_entries() -> None:
    cores = behind()
    mark = give_all(cores)
    assert b"".join(chunk.data for chunk in received(cores[3])) == WHOLE
    assert [chunk.offset for chunk in received(cores[3])] == [0, 4, 8]
    assert received(cores[3])[-1].done
    cores[3].mark, cores[3].log = mark, []
    cores[3].raft.installed(mark)
    cores.settle()
    cores.propose(1, b"after")
    cores.run(0.2)
    assert cores[3].commands[-1] == b"after"
    assert cores.members(3) == cores.members(1)


def test_a_lost_chunk_is_asked_for_again_where_it_was() -> None:
    cores = behind()
    seen = len(cores[1].readies)
    cores.run(0.1)
    (first,) = needed(cores[1], seen)
    give(cores, first)
    cores.run(0.1)
    second = needed(cores[1], seen)[-1]
    assert second.offset == CHUNK
    cores.watch = lambda sender, to, message: not isinstance(message, SnapshotChunk)
    give(cores, second)
    seen = len(cores[1].readies)
    cores.run(TIMES.chunk_patience + 0.1)
    (again,) = needed(cores[1], seen)
    assert again == second


def test_a_snapshot_that_is_not_what_it_says_is_sent_anew() -> None:
    cores = behind()
    give_all(cores)
    seen = len(cores[1].readies)
    cores[3].raft.refuse_snapshot()
    cores.settle()
    cores.run(0.2)
    assert needed(cores[1], seen)[0].mark is None
    give(cores, needed(cores[1], seen)[0], digest=b"another")
    assert received(cores[3])[-1].offset == 0


def test_a_snapshot_that_is_gone_is_replaced_by_a_fresh_one() -> None:
    cores = behind()
    seen = len(cores[1].readies)
    cores.run(0.1)
    give(cores, needed(cores[1], seen)[0])
    cores[1].raft.restart_snapshot(node(3))
    seen = len(cores[1].readies)
    cores.run(0.1)
    assert needed(cores[1], seen)[0] == ChunkNeeded(node(3), None, 0)


def test_the_log_keeps_what_follows_a_snapshot_under_way() -> None:
    cores = behind()
    seen = len(cores[1].readies)
    cores.run(0.1)
    chunk = give(cores, needed(cores[1], seen)[0])
    for _ in range(5):
        cores.propose(1, b"x")
    assert cores[1].raft.compact(cores[1].applied[-1].index, cores.now) is None
    assert cores[1].raft._state.log.mark == chunk.mark


def test_nothing_is_read_for_a_member_that_is_silent() -> None:
    cores = grown(3)
    cores.cut.add(3)
    cores.run(TIMES.election_max + 0.1)
    cores.propose(1, b"x")
    cores[1].raft.compact(cores[1].applied[-1].index, cores.now)
    seen = len(cores[1].readies)
    cores.run(3.0)
    assert needed(cores[1], seen) == []


def take(core: Core, message: ConsensusMessage, sender: int = 1) -> Ready:
    core.raft.receive(message, node(sender), 0.0)
    ready = core.raft.ready(0.0)
    assert ready is not None
    core.keep(ready)
    core.raft.saved(ready)
    return ready


def chunk_of(digest: bytes, offset: int, data: bytes, *, done: bool = False) -> SnapshotChunk:
    mark = SnapshotMark(9, 3, Members((node(1),), (node(2),)))
    return SnapshotChunk(4, mark, digest, offset, data, done)


def test_a_receiver_says_where_to_go_on_and_never_mixes_two_snapshots() -> None:
    core = Cores(2)[2]
    ready = take(core, chunk_of(b"a", 0, b"abcd"))
    assert ready.messages == ((node(1), ChunkAnswer(4, 9, 4)),)
    ready = take(core, chunk_of(b"a", 0, b"abcd"))  # once more
    assert ready.messages == ((node(1), ChunkAnswer(4, 9, 4)),)
    assert ready.received == ()
    ready = take(core, chunk_of(b"b", 4, b"efgh"))
    assert ready.messages == ((node(1), ChunkAnswer(4, 9, 0)),)
    assert ready.received == ()
    ready = take(core, chunk_of(b"a", 0, b"abcd"), sender=3)
    assert ready.received[0].offset == 0


def test_entries_that_a_snapshot_contradicts_are_dropped() -> None:
    cores = grown(3)
    cores.cut.add(3)
    cores[3].raft._state.log.append(
        type(cores[3].log[0])(cores[3].log[-1].index + 1, cores[3].hard.term, "command", b"wrong")
    )
    last = cores[3].raft._state.log.last
    mark = SnapshotMark(last, cores[3].hard.term + 1, cores.members(1))
    cores[3].raft.installed(mark)
    log = cores[3].raft._state.log
    assert (log.last, log.last_term, log.mark) == (last, mark.term, mark)


def test_a_proposal_under_a_snapshot_ends_as_unknown() -> None:
    cores = grown(3)
    cores.cut.add(1)
    position = cores[1].raft.propose(b"x", cores.now)
    cores.settle()
    cores.run(1.0)
    leader = cores.leader()
    for _ in range(5):
        cores.propose(leader, b"y")
    mark = cores[leader].raft.compact(cores[leader].applied[-1].index, cores.now)
    assert mark is not None
    cores[1].raft.installed(mark)
    cores.settle()
    assert cores[1].fates[-1] == Fate(position, "unknown")


def test_a_founder_that_forgot_its_log_can_still_take_members_in() -> None:
    cores = Cores(2)
    cores.run(1.0)
    cores.propose(1, b"x")
    cores[1].raft.compact(cores[1].applied[-1].index, cores.now)
    cores.change(1, "add", 2)
    mark = give_all(cores)
    cores[2].mark = mark
    cores[2].raft.installed(mark)
    cores.run(0.2)
    cores.change(1, "promote", 2)
    assert cores.members(2).voters == (node(1), node(2))


def test_heartbeats_reach_a_member_that_takes_a_snapshot() -> None:
    cores = behind()
    beats: list[Append] = []

    def note(sender: int, to: int, message: ConsensusMessage) -> bool:
        if isinstance(message, Append) and to == 3:
            beats.append(message)
        return True

    cores.watch = note
    cores.run(2.0)
    assert len(beats) > 20
    assert cores.leader() == 1
