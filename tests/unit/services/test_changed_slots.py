"""Limits changed while jobs run and wait: never more at once than allowed, nobody forgotten."""

from __future__ import annotations

from typing import Any

from services.queue import SlotQueue, Ticket
from services.slots import Slots


class NamedEngine:
    def __init__(self, name: str) -> None:
        self.name = name


class Job:
    """Takes a slot or waits for one, as the host has it done."""

    def __init__(self, slots: Slots, engine: Any, size: int) -> None:
        self.engine = engine
        self.queue: SlotQueue = slots.queue(engine, size)
        self.ticket: Ticket | None = None
        if not self.queue.try_acquire():
            self.ticket = self.queue.enqueue("origin")
            assert self.ticket is not None

    @property
    def runs(self) -> bool:
        return self.ticket is None or self.ticket.granted.done()

    def end(self) -> None:
        if self.ticket is None:
            self.queue.release()
        else:
            self.queue.leave(self.ticket)


ONE, TWO = NamedEngine("one"), NamedEngine("two")


async def test_a_limit_counts_what_runs_already_and_keeps_the_order() -> None:
    slots = Slots(None, 8)
    jobs = [Job(slots, engine, 2) for engine in (ONE, TWO, ONE, TWO, ONE)]
    assert [job.runs for job in jobs] == [True, True, True, True, False]
    slots.limit(1, jobs)
    late = Job(slots, ONE, 2)
    for job in jobs[:3]:
        job.end()
        assert not jobs[4].runs  # one still runs, which is as many as are allowed
    jobs[3].end()
    assert jobs[4].runs
    assert not late.runs
    jobs[4].end()
    assert late.runs


async def test_without_a_limit_each_engine_has_its_own_slots_again() -> None:
    slots = Slots(1, 8)
    jobs = [Job(slots, engine, 1) for engine in (ONE, ONE, TWO)]
    assert [job.runs for job in jobs] == [True, False, False]
    slots.limit(None, jobs)
    assert [job.runs for job in jobs] == [True, False, True]
    jobs[0].end()
    assert jobs[1].runs
    assert sum(queue.running for queue in slots.queues()) == 2


async def test_a_higher_limit_starts_who_waits() -> None:
    slots = Slots(1, 8)
    jobs = [Job(slots, ONE, 4) for _ in range(3)]
    slots.limit(2, jobs)
    assert [job.runs for job in jobs] == [True, True, False]


async def test_who_gave_up_in_that_moment_holds_no_slot() -> None:
    slots = Slots(1, 8)
    jobs = [Job(slots, ONE, 1) for _ in range(2)]
    ticket = jobs[1].ticket
    assert ticket is not None
    ticket.granted.cancel()
    slots.limit(None, jobs)
    jobs[1].end()
    jobs[0].end()
    assert [queue.running for queue in slots.queues()] == [0]
