"""The demo engine: the port's implementation over a child process."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from mesh.capability import ModelRef
from mesh.errors import ConfigError
from mesh.jobs import Chunk, JobSpec
from services.engines.demo.facts import FOLDER, Facts, describe, read_facts
from services.engines.demo.pace import Pace
from services.engines.demo.process import IDLE_SECONDS, DemoProcess
from services.engines.demo.request import Request, read_request
from services.engines.engine import EngineStatus, Event

DEFAULT_SLOTS = 4
"""One core shared by four still writes faster than people read."""
MAX_SLOTS = 256
"""Each running job holds 1.5 MiB of keys and values."""
MAX_RATE = 10_000.0


class DemoEngine:
    """Answers with the small model that ships with the package. See docs/demo-model.md.

    `rate` paces every answer at that many tokens a second. An answer resumed by token ids goes on,
    with a seed or at temperature 0, as the unbroken run would have; resumed by text alone it goes
    on from that text, which may be cut into other tokens than the ones it was written in.
    """

    def __init__(
        self,
        *,
        slots: int = DEFAULT_SLOTS,
        rate: float | None = None,
        folder: Path = FOLDER,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        """Starts nothing yet. Raises ConfigError."""
        if not 1 <= slots <= MAX_SLOTS:
            raise ConfigError("slots", slots, f"from 1 to {MAX_SLOTS} are allowed")
        if rate is not None and not 0 < rate <= MAX_RATE:
            raise ConfigError("demo-rate", rate, f"tokens a second, above 0 to {MAX_RATE:g}")
        self._slots = slots
        self._rate = rate
        self._folder = folder
        self._process = DemoProcess(folder, idle_seconds=idle_seconds)
        self._free = asyncio.Semaphore(slots)
        self._facts: Facts | None = None
        self._running = 0
        self._waiting = 0

    @property
    def name(self) -> str:
        """Always "demo"."""
        return "demo"

    @property
    def pid(self) -> int | None:
        """The computing process, while there is one."""
        return self._process.pid

    async def probe(self) -> EngineStatus:
        """The one model. Raises EngineUnavailable when its files are missing or broken."""
        if self._facts is None:
            self._facts = await asyncio.to_thread(read_facts, self._folder)
        return EngineStatus(
            (describe(self._facts),), self._slots, running=self._running, waiting=self._waiting
        )

    async def run(self, job: JobSpec, model: ModelRef) -> AsyncGenerator[Event, None]:
        """See `Engine.run`. A job past the slots waits for one."""
        request = read_request(job, secrets.randbits(63))
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        self._running += 1
        try:
            async with aclosing(self._paced(request)) as events:
                async for event in events:
                    yield event
        finally:
            self._running -= 1
            self._free.release()

    async def close(self) -> None:
        """End the process. Jobs under way fail. Safe to call twice."""
        await self._process.close()

    async def _paced(self, request: Request) -> AsyncGenerator[Event, None]:
        pace = Pace(self._rate) if self._rate else None
        loop = asyncio.get_running_loop()
        async with aclosing(self._process.run(request)) as events:
            async for event in events:
                if pace is not None and isinstance(event, Chunk) and event.token_ids:
                    await asyncio.sleep(pace.wait_for(len(event.token_ids), loop.time()))
                yield event
