"""Keeps a node out of its owner's way: looks at machine and clock, and opens or pauses the host.

What was accepted is always finished. Pauses and limits set while the node runs survive a restart.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Protocol

import psutil

from mesh.capability import Load
from mesh.clock import Clock
from mesh.lifecycle import Tasks
from node.gpu_use import GpuMeter
from node.memory_cap import GpuMemoryCap, MemoryCap
from node.owner_file import OwnerFile, OwnerState
from services.availability import (
    Availability,
    Facts,
    GpuSpell,
    Pause,
    Rules,
    decide,
    note_gpu,
)
from services.limits import Limits, override

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""Between two looks at clock, battery and cards."""
AFTER_JOB_SECONDS = 3.0
"""So long after a job a busy card may still be its trace: drivers average over a second or more."""


class Worker(Protocol):
    """What is opened, paused and limited: the host."""

    paused: str

    @property
    def in_flight(self) -> int: ...

    def limit_slots(self, most: int | None) -> None: ...

    def load(self) -> Load: ...


def runs_on_battery() -> bool:
    """False on machines without a battery."""
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    return battery is not None and battery.power_plugged is False


class Comfort:
    """Decides at once when it is made, so that nothing is accepted before a kept pause holds."""

    def __init__(
        self,
        *,
        file: OwnerFile,
        rules: Rules,
        configured: Limits,
        host: Worker,
        memory: MemoryCap,
        gpu_memory: GpuMemoryCap,
        meter: GpuMeter,
        clock: Clock,
        tasks: Tasks,
        on_battery: Callable[[], bool] = runs_on_battery,
    ) -> None:
        """`configured`: the limits that hold where the owner has set no other since."""
        self._file = file
        self._rules = rules
        self._configured = configured
        self._host = host
        self._memory = memory
        self._gpu_memory = gpu_memory
        self._meter = meter
        self._clock = clock
        self._tasks = tasks
        self._on_battery = on_battery
        self._watchers: list[Callable[[], None]] = []
        self._spell = GpuSpell()
        self._facts = Facts()
        self._last_job = float("-inf")
        self._state, self.trouble = file.load()
        """What the owner said last; what is wrong with where it is kept."""
        self.availability = Availability()
        self._apply_limits()
        self._settle()

    @property
    def limits(self) -> Limits:
        """What holds now."""
        return override(self._configured, self._state.limits)

    def on_change(self, watcher: Callable[[], None]) -> None:
        """Be told when the node opens, pauses, or pauses for another reason, or of new limits."""
        self._watchers.append(watcher)

    def start(self) -> None:
        """Look at the machine from now on."""
        self._tasks.supervise(self._watch, "owner's comfort")

    def pause(self, seconds: float | None = None) -> Availability:
        """Take no jobs from now on, for so long or until `resume`. Raises StorageError."""
        until = None if seconds is None else self._clock.wall() + seconds
        self._keep(OwnerState(Pause(until), self._state.limits))
        return self.availability

    def resume(self) -> Availability:
        """Take back a pause; other reasons may remain. Raises StorageError."""
        self._keep(OwnerState(None, self._state.limits))
        return self.availability

    def set_limits(self, changes: Mapping[str, int | None]) -> Limits:
        """Replace some limits; None goes back to the configured one. Raises StorageError."""
        merged = {**self._state.limits, **changes}
        kept = {name: most for name, most in merged.items() if most is not None}
        self._keep(OwnerState(self._state.pause, kept))
        self._apply_limits()
        self._tell()
        return self.limits

    def _keep(self, state: OwnerState) -> None:
        self._file.save(state)
        self._state, self.trouble = state, ""
        self._settle()

    def _apply_limits(self) -> None:
        limits = self.limits
        self._memory.most = limits.memory
        self._gpu_memory.most = limits.gpu_memory
        self._host.limit_slots(limits.slots)

    def _settle(self) -> None:
        """Decide, and tell who listens when the outcome is another one."""
        found = decide(self._state.pause, self._rules, self._facts, self._clock.wall())
        before, self.availability = self.availability, found
        self._host.paused = found.reason
        if found.reason == before.reason:
            return
        log.info("paused: %s" if found.reason else "taking jobs%s", found.reason)
        self._tell()

    def _tell(self) -> None:
        for watcher in self._watchers:
            watcher()

    async def _watch(self) -> None:
        try:
            while True:
                if self._rules.yield_gpu or self._gpu_memory.most is not None:
                    await self._look_at_cards()
                battery = self._rules.rest_on_battery and self._on_battery()
                self._facts = Facts(battery, self._spell.taken)
                self._settle()
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            self._meter.close()

    async def _look_at_cards(self) -> None:
        now = self._clock.now()
        if self._host.in_flight:
            self._last_job = now
        own_jobs = now - self._last_job < AFTER_JOB_SECONDS
        look = await self._meter.look_aside(self._clock.wall(), own_jobs)
        self._gpu_memory.used = look.memory_used
        self._spell = note_gpu(self._spell, look.taken, now)
