"""One thread that does what it is given, everything that waits at once: group commit."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from mesh.errors import StorageError

J = TypeVar("J")
R = TypeVar("R")

MAX_WAITING = 4096
"""Jobs that may wait. Each has a caller that waits for it, so this is far from normal."""
MAX_BATCH = 1024
"""Jobs of one batch: those of a larger queue should not all wait for the last."""


class Batches(Generic[J, R]):
    """Jobs in order, in batches, in a thread of their own. One asyncio loop may use it.

    `work` gives one result a job, or the exception for its caller. What it raises goes to all.
    """

    def __init__(self, name: str, work: Callable[[Sequence[J]], Sequence[R | Exception]]) -> None:
        self._work = work
        self._waiting: deque[tuple[J, asyncio.Future[R]]] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: J) -> asyncio.Future[R]:
        """Queue a job; the order of calls is kept. Raises StorageError when closed or flooded.

        Cancelling the future does not keep the job from being done.
        """
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        with self._wake:
            if self._closing:
                raise StorageError("the storage is closed")
            if len(self._waiting) >= MAX_WAITING:
                raise StorageError(f"more than {MAX_WAITING} writes wait for the disk")
            self._waiting.append((job, future))
            self._wake.notify()
        return future

    async def close(self) -> None:
        """Finish what waits, then end the thread. Safe to call twice."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while batch := self._next_batch():
            jobs = [job for job, _ in batch]
            futures = [future for _, future in batch]
            try:
                results: Sequence[R | Exception] | Exception = self._work(jobs)
            except Exception as error:  # noqa: BLE001 - handed to every caller of the batch
                results = error
            self._answer(futures, results)

    def _next_batch(self) -> list[tuple[J, asyncio.Future[R]]]:
        with self._wake:
            while not self._waiting and not self._closing:
                self._wake.wait()
            count = min(len(self._waiting), MAX_BATCH)
            return [self._waiting.popleft() for _ in range(count)]

    @staticmethod
    def _answer(
        futures: list[asyncio.Future[R]], results: Sequence[R | Exception] | Exception
    ) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            futures[0].get_loop().call_soon_threadsafe(_settle, futures, results)


def _settle(futures: list[asyncio.Future[R]], results: Sequence[R | Exception] | Exception) -> None:
    for place, future in enumerate(futures):
        if future.done():
            continue
        result = results if isinstance(results, Exception) else results[place]
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
