"""Messages that no right member sends: the core refuses or survives them, and nothing else."""

from __future__ import annotations

from random import Random

import pytest

from coordinator.consensus.ready import ChunkNeeded
from mesh.consensus import Entry, Members, SnapshotMark
from mesh.errors import StorageError
from mesh.wire.consensus import (
    Append,
    Appended,
    ChunkAnswer,
    ConsensusMessage,
    SnapshotChunk,
    TimeoutNow,
    VoteAnswer,
    VoteRequest,
)
from tests.unit.coordinator.consensus.cores import Cores, grown, node


def draw(rng: Random) -> ConsensusMessage:
    """A well-formed message with numbers near those that are in use."""

    def number() -> int:
        return rng.choice((0, 1, 2, 3, rng.randrange(20), rng.randrange(60)))

    def flag() -> bool:
        return rng.random() < 0.5

    term = number()
    prev = number()
    terms = sorted(min(term, number()) for _ in range(4))
    entries = tuple(
        Entry(prev + place, terms[place], "command", b"%d" % number()) for place in (1, 2, 3)
    )
    mark = SnapshotMark(number(), terms[0], Members((node(1), node(2), node(3))))
    return rng.choice(
        (
            VoteRequest(term, number(), number(), flag(), flag()),
            VoteAnswer(term, flag(), flag()),
            Append(term, prev, terms[0], number(), number(), entries, number(), flag()),
            Append(term, prev, terms[0], number(), number()),
            Appended(term, flag(), prev, number(), number(), number(), number(), number() // 3),
            SnapshotChunk(term, mark, b"d", number(), b"data", flag()),
            ChunkAnswer(term, number(), number(), flag(), number() // 3),
            TimeoutNow(term),
        )
    )


def shake(cores: Cores, rng: Random, count: int) -> None:
    for _ in range(count):
        target = rng.choice((1, 2, 3))
        cores[target].raft.receive(draw(rng), node(rng.choice((1, 2, 3, 9))), cores.now)
        if rng.random() < 0.2:
            cores.run(0.05)
        for need in [need for core in cores.by_number.values() for need in unanswered(core)]:
            cores[target].raft.restart_snapshot(need.to)


def unanswered(core: object) -> list[ChunkNeeded]:
    return list(getattr(core, "readies", [])[-1].needed) if getattr(core, "readies", []) else []


@pytest.mark.parametrize("seed", range(40))
def test_nothing_but_a_storage_error_is_raised(seed: int) -> None:
    rng = Random(seed)
    cores = grown(3)
    for count in range(rng.randrange(10)):
        cores.propose(1, b"%d" % count)
    if rng.random() < 0.5:
        cores[1].raft.compact(cores[1].applied[-1].index - 2, cores.now)
    try:
        shake(cores, rng, 150)
    except StorageError:
        return  # a member that was lied to about what is committed stops


@pytest.mark.parametrize("seed", range(20))
def test_a_stranger_gets_nothing_committed(seed: int) -> None:
    """Answers from who is no member count for nothing."""
    rng = Random(seed)
    cores = grown(3)
    cores.cut |= {2, 3}
    cores[1].raft.propose(b"x", cores.now)
    cores.settle()
    before = cores[1].raft.status(cores.now).commit
    for _ in range(50):
        message = Appended(cores[1].hard.term, True, rng.randrange(9), rng.randrange(20), 2, 1, 20)
        cores[1].raft.receive(message, node(9), cores.now)
    cores.settle()
    assert cores[1].raft.status(cores.now).commit == before
