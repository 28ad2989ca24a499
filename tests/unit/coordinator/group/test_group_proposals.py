"""Who waits for what, and that nobody waits for ever or leaves anything behind."""

from __future__ import annotations

import asyncio
import gc
import logging

import pytest

from coordinator.consensus.entry import Entry
from coordinator.consensus.ready import Fate, Position, ReadResult
from coordinator.group.proposals import Progress, Proposals
from mesh.errors import NoQuorum


def entry(index: int, term: int = 1) -> Entry:
    return Entry(index, term, "command", b"x")


async def test_a_proposal_gets_what_applying_it_gave() -> None:
    proposals = Proposals()
    futures = [proposals.expect(Position(index, 1)) for index in (1, 2, 3)]
    proposals.settle([Fate(Position(index, 1), "applied") for index in (1, 2, 3)])
    assert not any(future.done() for future in futures), "decided is not applied"
    proposals.applied([entry(1), entry(2)], [b"a", b"b"])
    proposals.applied([entry(3)], [b"c"])
    assert [await future for future in futures] == [b"a", b"b", b"c"]


async def test_two_proposals_of_one_place_are_told_apart_by_their_term() -> None:
    proposals = Proposals()
    first, second = proposals.expect(Position(5, 1)), proposals.expect(Position(5, 3))
    proposals.settle([Fate(Position(5, 1), "superseded"), Fate(Position(5, 3), "applied")])
    proposals.applied([entry(5, 3)], [b"done"])
    with pytest.raises(NoQuorum):
        await first
    assert await second == b"done"


async def test_what_a_snapshot_contains_is_in_doubt() -> None:
    proposals = Proposals()
    jumped, skipped = proposals.expect(Position(1, 1)), proposals.expect(Position(2, 1))
    proposals.settle([Fate(Position(1, 1), "unknown"), Fate(Position(2, 1), "applied")])
    proposals.applied([entry(2)], [b""])  # what the state says of an entry it contains already
    for future in (jumped, skipped):
        with pytest.raises(TimeoutError):
            await future


async def test_who_gave_up_is_not_told_and_leaves_no_complaint(
    caplog: pytest.LogCaptureFixture,
) -> None:
    proposals = Proposals()
    cancelled, forgotten = proposals.expect(Position(1, 1)), proposals.expect(Position(2, 1))
    cancelled.cancel()
    read = proposals.expect_read(7)
    fates = [Fate(Position(1, 1), "applied"), Fate(Position(2, 1), "superseded")]
    proposals.settle([*fates, Fate(Position(9, 9), "applied")])
    proposals.confirm([ReadResult(7, None), ReadResult(8, 3)])
    proposals.applied([entry(1)], [b"x"])
    del forgotten, read
    with caplog.at_level(logging.ERROR):
        gc.collect()
        await asyncio.sleep(0)
    assert not caplog.records


async def test_reads_are_confirmed_or_refused() -> None:
    proposals = Proposals()
    good, bad = proposals.expect_read(1), proposals.expect_read(2)
    proposals.confirm([ReadResult(1, 40), ReadResult(2, None)])
    assert await good == 40
    with pytest.raises(NoQuorum):
        await bad


async def test_progress_wakes_those_whose_index_is_reached() -> None:
    progress = Progress(3)
    await progress.wait(3)
    async with asyncio.TaskGroup() as tasks:
        near, far = tasks.create_task(progress.wait(5)), tasks.create_task(progress.wait(9))
        await asyncio.sleep(0)
        progress.reach(5)
        await near
        assert not far.done()
        progress.reach(4)
        assert progress.applied == 5
        progress.reach(12)
    assert far.done()


async def test_who_gives_up_waiting_is_forgotten() -> None:
    progress = Progress(0)
    for _ in range(50):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await progress.wait(1)
    assert not progress._waiting
