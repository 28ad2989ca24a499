"""Slots, the bounded queue, and fairness between origins."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from services.queue import SlotQueue, Ticket


def must_enqueue(queue: SlotQueue, origin: str) -> Ticket:
    ticket = queue.enqueue(origin)
    assert ticket is not None
    return ticket


async def test_slots_are_taken_at_once_and_given_back() -> None:
    queue = SlotQueue(slots=2, limit=4)
    assert queue.try_acquire()
    assert queue.try_acquire()
    assert not queue.try_acquire()
    queue.release()
    assert queue.try_acquire()


async def test_origins_are_served_in_turn() -> None:
    queue = SlotQueue(slots=1, limit=20)
    assert queue.try_acquire()
    tickets = [must_enqueue(queue, "flood") for _ in range(5)]
    tickets.append(must_enqueue(queue, "quiet"))
    assert queue.position(tickets[-1]) == 1
    order = []
    for _ in range(6):
        queue.release()
        granted = next(t for t in tickets if t.granted.done() and t not in order)
        order.append(granted)
    assert [ticket.origin for ticket in order[:3]] == ["flood", "quiet", "flood"]


async def test_the_queue_and_each_origins_share_are_bounded() -> None:
    queue = SlotQueue(slots=1, limit=4)
    assert queue.try_acquire()
    assert [queue.enqueue("a") is not None for _ in range(3)] == [True, True, False]
    assert [queue.enqueue("b") is not None for _ in range(3)] == [True, True, False]
    assert queue.enqueue("c") is None
    assert queue.queued == 4


async def test_leaving_gives_the_place_or_the_slot_to_the_next() -> None:
    queue = SlotQueue(slots=1, limit=8)
    assert queue.try_acquire()
    first, second = must_enqueue(queue, "a"), must_enqueue(queue, "b")
    queue.leave(first)
    queue.release()
    assert second.granted.done()
    third = must_enqueue(queue, "a")
    queue.leave(second)
    assert third.granted.done()
    assert queue.running == 1


async def test_a_waiter_cancelled_while_a_slot_comes_free_does_not_lose_the_slot() -> None:
    queue = SlotQueue(slots=1, limit=8)
    assert queue.try_acquire()
    first, second = must_enqueue(queue, "a"), must_enqueue(queue, "a")
    first.granted.cancel()  # what cancelling the awaiting task does
    queue.release()
    assert second.granted.done()
    assert not second.granted.cancelled()
    queue.leave(first)
    queue.leave(second)
    assert queue.running == 0


async def test_more_slots_let_waiters_in() -> None:
    queue = SlotQueue(slots=1, limit=8)
    assert queue.try_acquire()
    tickets = [must_enqueue(queue, "a") for _ in range(3)]
    queue.resize(3)
    assert [ticket.granted.done() for ticket in tickets] == [True, True, False]


@pytest.mark.parametrize("seed", range(30))
async def test_positions_tell_the_true_order_and_no_slot_is_lost(seed: int) -> None:
    rng = Random(seed)
    queue = SlotQueue(slots=2, limit=50)
    assert queue.try_acquire()
    assert queue.try_acquire()
    waiting = [must_enqueue(queue, rng.choice("abc")) for _ in range(20)]
    for ticket in rng.sample(waiting, 5):
        queue.leave(ticket)
        waiting.remove(ticket)
    while waiting:
        positions = {queue.position(ticket): ticket for ticket in waiting}
        assert sorted(positions) == list(range(len(waiting)))
        queue.release()
        assert positions[0].granted.done()
        waiting.remove(positions[0])
    await asyncio.sleep(0)
    queue.release()
    queue.release()
    assert queue.running == 0
