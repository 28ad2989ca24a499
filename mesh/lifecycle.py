"""Every task has an owner. No other module creates tasks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")

RESTART_FIRST = 0.1
RESTART_MOST = 30.0
"""Seconds before a crashed service is restarted; doubled from first to most."""
CLOSE_PATIENCE = 5.0
"""Seconds cancelled tasks get before they are named in the log and left."""


class Tasks:
    """Owns tasks: starts them, reports their crashes, and on close cancels them and waits."""

    def __init__(self, name: str, *, on_crash: Callable[[str, int], None] | None = None) -> None:
        """`on_crash` is told of each supervised service that crashed, and how often in a row."""
        self._name = name
        self._on_crash = on_crash
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing = False

    @property
    def closing(self) -> bool:
        """True once `close` was called; `spawn` then refuses."""
        return self._closing

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, coroutine: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Run a coroutine as a task of this owner. Raises RuntimeError after `close`."""
        if self._closing:
            coroutine.close()
            raise RuntimeError(f"{self._name} is closing and starts no new tasks")
        task = asyncio.get_running_loop().create_task(coroutine, name=f"{self._name}:{name}")
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def supervise(self, run: Callable[[], Awaitable[None]], name: str) -> asyncio.Task[None]:
        """Run a long-lived service; when it crashes, log it and start it again with backoff."""
        return self.spawn(self._supervise(run, name), name)

    async def close(self) -> None:
        """Cancel every task and wait until they are gone. Safe to call twice."""
        self._closing = True
        current = asyncio.current_task()
        waiting = {task for task in self._tasks if task is not current}
        for task in waiting:
            task.cancel()
        if not waiting:
            return
        _, stuck = await asyncio.wait(waiting, timeout=CLOSE_PATIENCE)
        for task in stuck:
            log.error("task %s did not end when cancelled", task.get_name())

    async def _supervise(self, run: Callable[[], Awaitable[None]], name: str) -> None:
        delay, in_a_row = RESTART_FIRST, 0
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            try:
                await run()
                return
            except Exception:
                if loop.time() - started > RESTART_MOST:
                    delay, in_a_row = RESTART_FIRST, 0
                in_a_row += 1
                log.exception("%s:%s crashed; starting again in %.1f s", self._name, name, delay)
                if self._on_crash is not None:
                    self._on_crash(name, in_a_row)
            await asyncio.sleep(delay)
            delay = min(delay * 2, RESTART_MOST)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task %s crashed", task.get_name(), exc_info=error)
