"""What the host keeps of an engine ends with the engine, or with the last of its jobs."""

from __future__ import annotations

from typing import Any

from mesh.clock import SystemClock
from mesh.lifecycle import Tasks
from services.host import Host
from services.slots import Slots
from tests.unit.services.test_changed_slots import ONE, TWO, Job


async def test_slots_of_a_removed_engine_are_told_no_more() -> None:
    slots = Slots(None, 8)
    jobs = [Job(slots, engine, 3) for engine in (ONE, TWO)]
    jobs[0].end()
    slots.forget_but(["two"])
    assert [queue.slots for queue in slots.queues()] == [3]
    slots.forget_but([])
    assert [queue.running for queue in slots.queues()] == [1]
    jobs[1].end()
    slots.forget_but([])
    assert slots.queues() == []


async def test_engines_that_come_and_go_for_years_leave_nothing_behind() -> None:
    tasks, here = Tasks("test"), ["one"]
    host = Host(
        engines=Nothing(), clock=SystemClock(), tasks=tasks, queue_limit=8, offering=lambda: here
    )
    for number in range(1_000):
        Job(host._slots, Named(f"engine@127.0.0.1:{number}"), 2).end()
        host.load()
    Job(host._slots, ONE, 4).end()
    assert host.load().slots == 4
    assert len(host._slots._sizes) == 1
    here.clear()
    assert host.load().slots == 0
    await tasks.close()


class Named:
    def __init__(self, name: str) -> None:
        self.name = name


class Nothing:
    """Serves no model."""

    def find(self, model: str) -> None:
        return None

    def observe(self, model: Any, tokens: int, seconds: float) -> None:
        """Nothing ran."""

    def withdraw(self, engine: Any, reason: str) -> None:
        """Nothing ran."""
