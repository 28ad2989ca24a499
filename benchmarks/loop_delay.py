"""How late the event loop calls back while something goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.load import percentile

TICK = 0.001
"""Seconds between two looks."""


class LoopDelay:
    """How late the event loop calls back, sampled every tick."""

    def __init__(self) -> None:
        self.delays: list[float] = []
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._timer = self._loop.call_at(
            self._loop.time() + TICK, self._tick, self._loop.time() + TICK
        )

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self, due: float) -> None:
        self.delays.append(self._loop.time() - due)
        self.start()


@asynccontextmanager
async def watched(what: str) -> AsyncIterator[None]:
    """Print the loop's delay while something goes on."""
    delay = LoopDelay()
    delay.start()
    yield
    delay.stop()
    p50, p99 = (percentile(delay.delays, p) * 1000 for p in (50, 99))
    worst = max(delay.delays) * 1000
    print(f"event loop delay, {what}: p50 {p50:.2f} ms, p99 {p99:.2f} ms, worst {worst:.1f} ms")
