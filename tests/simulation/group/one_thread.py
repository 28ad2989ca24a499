"""Storage without threads, for virtual time: the real log and database, on real files.

What is submitted is done `latency` seconds later, and not at all once the process is dead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

import coordinator.state.state
import coordinator.storage.folder
import coordinator.storage.log_store

LATENCY = 0.002


class InlineBatches:
    """Stands in for `coordinator.storage.batches.Batches`, in the loop itself."""

    def __init__(self, name: str, work: Callable[[Sequence[Any]], Sequence[Any]]) -> None:
        self._name = name
        self._work = work
        self._waiting: list[tuple[Any, asyncio.Future[Any]]] = []
        self._dead = False

    def submit(self, job: Any) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        if not self._waiting:
            loop.call_later(LATENCY, self._run)
        self._waiting.append((job, future))
        return future

    def die(self) -> None:
        """The process is killed: what was not done yet never is."""
        self._dead = True
        self._waiting.clear()

    async def close(self) -> None:
        self._run()

    def _run(self) -> None:
        batch, self._waiting = self._waiting, []
        if not batch or self._dead:
            return
        try:
            results: Sequence[Any] = self._work([job for job, _ in batch])
        except Exception as error:  # noqa: BLE001 - handed to every caller of the batch
            results = [error] * len(batch)
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)


async def call_inline(function: Callable[..., Any], *arguments: Any) -> Any:
    """Stands in for `asyncio.to_thread`."""
    await asyncio.sleep(0)
    return function(*arguments)


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """No threads from here on; and no fsync, whose real time nobody sees in virtual time."""
    monkeypatch.setattr(coordinator.storage.log_store, "Batches", InlineBatches)
    monkeypatch.setattr(coordinator.state.state, "Batches", InlineBatches)
    monkeypatch.setattr(coordinator.storage.folder, "sync_data", lambda _: None)
    monkeypatch.setattr("os.fsync", lambda _: None)
    monkeypatch.setattr(asyncio, "to_thread", call_inline)
