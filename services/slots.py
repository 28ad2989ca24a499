"""How many jobs run at once here: as each engine says, or one number for the whole node."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

from services.engines.engine import Engine
from services.queue import SlotQueue, Ticket


class Seated(Protocol):
    """A job that has a slot or waits for one."""

    @property
    def engine(self) -> Engine: ...

    @property
    def ticket(self) -> Ticket | None: ...

    queue: SlotQueue


class Slots:
    """One queue for the node, or one an engine."""

    def __init__(self, limit: int | None, queue_limit: int) -> None:
        """`limit`: jobs at once over all engines, None for each engine's own number."""
        self._queue_limit = queue_limit
        self._shared = SlotQueue(limit, queue_limit) if limit else None
        self._queues: dict[str, SlotQueue] = {}
        self._sizes: dict[str, int] = {}

    def queue(self, engine: Engine, slots: int) -> SlotQueue:
        """Where a job for an engine waits; `slots` is what the engine says now."""
        self._sizes[engine.name] = slots
        if self._shared is not None:
            return self._shared
        queue = self._queues.get(engine.name)
        if queue is None:
            queue = self._queues[engine.name] = SlotQueue(slots, self._queue_limit)
        elif queue.slots != slots:
            queue.resize(slots)
        return queue

    def queues(self) -> list[SlotQueue]:
        """All that are in use."""
        return [self._shared] if self._shared is not None else list(self._queues.values())

    def forget_but(self, engines: Collection[str]) -> None:
        """Keep only what belongs to these engines, by name, or to jobs that are not over."""
        self._queues = {
            name: queue
            for name, queue in self._queues.items()
            if name in engines or queue.running or queue.queued
        }
        self._sizes = {
            name: size
            for name, size in self._sizes.items()
            if name in engines or name in self._queues
        }

    def limit(self, most: int | None, seated: Iterable[Seated]) -> None:
        """Change the limit while jobs are here: running ones go on, waiting ones keep their order.

        `seated` are all jobs here, oldest first.
        """
        if self._shared is not None and most:
            self._shared.resize(most)
            return
        if self._shared is None and not most:
            return
        self._shared = SlotQueue(most, self._queue_limit) if most else None
        self._queues = {}
        for job in seated:
            job.queue = self.queue(job.engine, self._sizes.get(job.engine.name, 1))
            job.queue.take_over(job.ticket)
        for queue in self.queues():
            queue.resize(queue.slots)
