"""Slots with a bounded, fair queue in front of them."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

ORIGIN_SHARE = 0.5
"""Largest part of the queue that one origin may fill."""


@dataclass(eq=False, slots=True)
class Ticket:
    """A place in the queue. `granted` is done once a slot belongs to the holder."""

    origin: str
    granted: asyncio.Future[None] = field(repr=False)


class SlotQueue:
    """`slots` jobs at once; further ones wait, served round-robin between origins.

    Not thread-safe: lives on the event loop. At most `limit` wait, and at most ORIGIN_SHARE of
    that for one origin, so a flood from one gateway leaves room for the others.
    """

    def __init__(self, slots: int, limit: int) -> None:
        self._slots = slots
        self._limit = limit
        self._running = 0
        self._waiting: dict[str, deque[Ticket]] = {}

    @property
    def slots(self) -> int:
        return self._slots

    @property
    def running(self) -> int:
        return self._running

    @property
    def queued(self) -> int:
        return sum(len(queue) for queue in self._waiting.values())

    def try_acquire(self) -> bool:
        """Take a free slot now; False when there is none or others wait for one."""
        if self._running >= self._slots or self._waiting:
            return False
        self._running += 1
        return True

    def enqueue(self, origin: str) -> Ticket | None:
        """Take a place in the queue; None when the queue, or this origin's share, is full."""
        mine = self._waiting.get(origin)
        share = max(1, int(self._limit * ORIGIN_SHARE))
        if self.queued >= self._limit or (mine is not None and len(mine) >= share):
            return None
        ticket = Ticket(origin, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(origin, deque()).append(ticket)
        self._grant()
        return ticket

    def position(self, ticket: Ticket) -> int:
        """How many jobs start before this one; 0 also when it has its slot."""
        mine = self._waiting.get(ticket.origin)
        if mine is None or ticket not in mine:
            return 0
        rounds = mine.index(ticket)
        before, passed_mine = rounds, False
        for origin, queue in self._waiting.items():
            if origin == ticket.origin:
                passed_mine = True
            else:
                before += min(len(queue), rounds if passed_mine else rounds + 1)
        return before

    def leave(self, ticket: Ticket) -> None:
        """Give up a place, or the slot if it was granted meanwhile."""
        if ticket.granted.done() and not ticket.granted.cancelled():
            self.release()
            return
        ticket.granted.cancel()
        mine = self._waiting.get(ticket.origin)
        if mine is not None and ticket in mine:
            mine.remove(ticket)
            if not mine:
                del self._waiting[ticket.origin]

    def release(self) -> None:
        """Give a slot back; the next in the queue gets it."""
        self._running -= 1
        self._grant()

    def resize(self, slots: int) -> None:
        """Change the number of slots; running jobs are left alone."""
        self._slots = slots
        self._grant()

    def take_over(self, ticket: Ticket | None) -> None:
        """Count a job that has a slot elsewhere, or queue one that waits there; nothing is granted.

        None is a job that never had to wait.
        """
        if ticket is None or (ticket.granted.done() and not ticket.granted.cancelled()):
            self._running += 1
        elif not ticket.granted.done():  # one that is cancelled leaves by itself
            self._waiting.setdefault(ticket.origin, deque()).append(ticket)

    def _grant(self) -> None:
        while self._running < self._slots and self._waiting:
            origin = next(iter(self._waiting))
            queue = self._waiting.pop(origin)
            ticket = queue.popleft()
            if queue:
                self._waiting[origin] = queue  # to the back of the round
            if not ticket.granted.done():  # done here means its waiter was cancelled
                self._running += 1
                ticket.granted.set_result(None)
