"""Looks after one engine: probes it, samples it once, takes it off offer when it stops answering.

unknown --probe, sample ok--> offered --2 misses or withdraw()--> gone --probe, sample ok--> ...
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from random import Random

from mesh.capability import ModelRef
from mesh.clock import Clock
from mesh.errors import EngineError
from services.engines.engine import Engine, EngineStatus
from services.sample import sample_engine

log = logging.getLogger(__name__)

LOOK_SECONDS = 3.0
"""Between two probes, ± a fifth; with RETRY_SECONDS a killed engine is off offer within 5 s."""
RETRY_SECONDS = 0.5
"""After a first miss: one slow answer is no death."""
PROBE_SECONDS = 4.0
RESAMPLE_SECONDS = 30.0
"""After a failed sample."""
MISSES = 2

OWN_ENGINES = frozenset(("demo",))
"""Engines that ship with this package, whose answers need no sample."""


class EngineWatch:
    """One engine as the catalog sees it. `run` is its loop; `changed` is called at each change."""

    def __init__(
        self, engine: Engine, *, found: bool, clock: Clock, rng: Random, changed: Callable[[], None]
    ) -> None:
        self.engine = engine
        self.found = found
        """Found by looking, so that it may be forgotten when it is gone."""
        self.offered: tuple[ModelRef, ...] = ()
        self.slots = 1
        self.note = "not asked yet"
        self.settled = asyncio.Event()
        """Set once the first look is over."""
        self.gone_since: float | None = None
        self.served = False
        """It has been on offer before."""
        self._clock = clock
        self._rng = rng
        self._changed = changed
        self._misses = 0
        self._sampled = False
        self._failed: dict[str, str] = {}
        self._sample_at = 0.0
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Look for ever. Cancel to end."""
        while True:
            await self.look()
            self.settled.set()
            await self._pause()

    async def look(self) -> None:
        """Probe once, and act on the answer."""
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                status = await self.engine.probe()
        except TimeoutError:
            self._miss("does not answer in time")
        except EngineError as error:
            self._miss(str(error))
        else:
            await self._answered(status)

    def withdraw(self, reason: str) -> None:
        """Take the engine off offer now and look at it at once; it must pass a sample again."""
        self._go(reason)
        self._misses = MISSES
        self._wake.set()

    def _miss(self, reason: str) -> None:
        self._misses += 1
        if self._misses >= MISSES or not self.offered:
            self._go(reason)

    def _go(self, reason: str) -> None:
        self.note = reason
        self._sampled = False
        self._sample_at = 0.0
        if self.gone_since is None:
            self.gone_since = self._clock.now()
        if self.offered:
            log.warning("%s is off offer: %s", self.engine.name, reason)
            self._offer(())

    async def _answered(self, status: EngineStatus) -> None:
        self._misses = 0
        self.gone_since = None
        if not status.models:
            self.note = "it has no model that generates text"
            self._offer(())
            return
        if status.models[0].engine not in OWN_ENGINES and not self._sampled:
            await self._sample(status)
            if not self._sampled:
                return
        self.note = ""
        self.slots = max(1, status.slots)
        self._offer(tuple(one for one in status.models if one.name not in self._failed))

    async def _sample(self, status: EngineStatus) -> None:
        now = self._clock.now()
        if now < self._sample_at:
            return
        self.note = "its first answer is awaited"
        self._sampled, self._failed = await sample_engine(self.engine, status)
        if not self._sampled:
            self._sample_at = self._clock.now() + RESAMPLE_SECONDS
            name, reason = next(iter(self._failed.items()))
            self.note = f"its sample failed: {name}: {reason}"
            log.warning("%s is not offered: %s", self.engine.name, self.note)

    def _offer(self, models: tuple[ModelRef, ...]) -> None:
        before, self.offered = self.offered, models
        self.served = self.served or bool(models)
        if models and not before:
            log.info("%s offers %d models", self.engine.name, len(models))
        self._changed()

    async def _pause(self) -> None:
        waiting = 0 < self._misses < MISSES
        seconds = RETRY_SECONDS if waiting else LOOK_SECONDS * self._rng.uniform(0.8, 1.2)
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()
