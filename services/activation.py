"""Runs the models that the mesh's leader gave this node, beside what its owner runs.

Names from the wire are only ever looked up among the models this node holds. What the owner's own
engines serve is neither started nor stopped here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from mesh.capability import Resources, Runnable
from mesh.clock import Clock
from mesh.errors import ElectronsError
from mesh.lifecycle import Tasks
from mesh.room import NO_CARD
from mesh.wire.assignment import Assign, RunReport, Told
from services.activation_plan import Active, ActiveState, Situation, Start, Steps, plan, within
from services.engines.engine import Engine
from services.limits import Limits
from services.startable import Startable

log = logging.getLogger(__name__)

START_SECONDS = 300.0
"""For a model to be loaded and to pass its sample; then it has failed."""
DRAIN_SECONDS = 600.0
"""For accepted jobs to finish once a model is to stop."""
LOOK_SECONDS = 0.2
"""Between looks at what starts and drains."""


class Shelf(Protocol):
    """Where engines are offered: the catalog."""

    def add(self, engine: Engine) -> bool: ...

    def withhold(self, engine: Engine) -> None: ...

    async def remove(self, engine: Engine) -> None: ...

    def offers(self, engine: Engine) -> bool: ...

    def note(self, engine: Engine) -> str: ...

    def served_by_others(self, engines: Collection[Engine]) -> frozenset[str]: ...


@dataclass(slots=True)
class _Running:
    """One engine that an assignment started."""

    engine: Engine
    runnable: Runnable
    card: int
    since: float
    state: ActiveState = "starting"


class Activation:
    """Follows the newest assignment. `assignable` False: the owner wants none; all is refused."""

    def __init__(
        self,
        *,
        shelf: Shelf,
        busy_with: Callable[[Engine], int],
        available_memory: Callable[[], int],
        limits: Callable[[], Limits] = Limits,
        clock: Clock,
        tasks: Tasks,
        assignable: bool = True,
    ) -> None:
        self._shelf = shelf
        self._busy_with = busy_with
        self._available_memory = available_memory
        self._limits = limits
        self._clock = clock
        self._tasks = tasks
        self._held: dict[str, Startable] = {}
        self._running: dict[str, _Running] = {}
        self._failed: dict[str, str] = {}
        self._wanted: tuple[tuple[str, str], ...] = ()
        self._epoch = (-1, -1)
        self._watchers: list[Callable[[], None]] = []
        self._looking: asyncio.Task[None] | None = None
        self.assignable = assignable
        self._machine = Resources()
        self._followed = Resources()
        """What was given when the assignment was last followed."""

    def hold(self, startables: Sequence[Startable], resources: Resources) -> None:
        """What this node could start from now on, within what. What runs already goes on."""
        self._held = {one.runnable.model: one for one in startables}
        self._machine = resources
        self._tell()

    @property
    def resources(self) -> Resources:
        """What this node gives at most, by its owner's limits of now; nothing until it is known."""
        return within(self._machine, self._limits())

    def on_change(self, watcher: Callable[[], None]) -> None:
        """Be told when `runnable` or `resources` are no longer what they were."""
        self._watchers.append(watcher)

    def runnable(self) -> tuple[Runnable, ...]:
        """What to tell the mesh: what could be started or was, the owner's own engines left out."""
        if not self.assignable:
            return ()
        own = self._own()
        return tuple(one.runnable for name, one in sorted(self._held.items()) if name not in own)

    def obey(self, assign: Assign) -> Told:
        """Follow an assignment unless a newer one was seen; its sender's role is proven."""
        epoch = (assign.term, assign.version)
        if not self.assignable:
            return Told(*epoch, False, reason="the owner lets nobody assign this node")
        if epoch < self._epoch:
            return Told(*self._epoch, False, reason="a newer assignment is followed here")
        if assign.models != self._wanted:
            log.info("assigned: %s", ", ".join(name for name, _ in assign.models) or "nothing")
        self._epoch, self._wanted = epoch, assign.models
        wanted = {model for model, _ in assign.models}
        self._failed = {name: why for name, why in self._failed.items() if name in wanted}
        return Told(*epoch, True, self._follow().reports)

    def reports(self) -> tuple[RunReport, ...]:
        """How far each assigned model is."""
        return plan(self._wanted, self._situation()).reports

    def release(self) -> None:
        """The owner wants no assignments from now on: what was assigned drains."""
        self.assignable = False
        self._wanted = ()
        self._follow()
        self._tell()

    def _tell(self) -> None:
        for watcher in self._watchers:
            watcher()

    def _follow(self) -> Steps:
        self._followed = self.resources
        steps = plan(self._wanted, self._situation())
        for model in steps.drains:
            running = self._running[model]
            running.state, running.since = "draining", self._clock.now()
            self._shelf.withhold(running.engine)
        for start in steps.starts:
            self._start(start)
        if self._running and (self._looking is None or self._looking.done()):
            self._looking = self._tasks.supervise(self._look_after, "assigned engines")
        return steps

    def _situation(self) -> Situation:
        return Situation(
            held={name: one.runnable for name, one in self._held.items()},
            active={
                name: Active(one.runnable, self._state(one), one.card)
                for name, one in self._running.items()
            },
            own=self._own(),
            failed=self._failed,
            resources=self.resources,
            available=self._available_memory(),
        )

    def _state(self, running: _Running) -> ActiveState:
        """As of now; the next look at it notes it."""
        if running.state == "draining":
            return "draining"
        return "serving" if self._shelf.offers(running.engine) else "starting"

    def _own(self) -> frozenset[str]:
        return self._shelf.served_by_others([one.engine for one in self._running.values()])

    def _start(self, start: Start) -> None:
        startable = self._held[start.model]
        try:
            engine = startable.make(None if start.card == NO_CARD else start.card)
        except ElectronsError as error:
            self._failed[start.model] = str(error)
            return
        if not self._shelf.add(engine):
            self._failed[start.model] = "this node looks after too many engines already"
            return
        self._running[start.model] = _Running(
            engine, startable.runnable, start.card, self._clock.now()
        )

    async def _look_after(self) -> None:
        """Until nothing that an assignment started is left."""
        while self._running:
            await asyncio.sleep(LOOK_SECONDS)
            if self.resources != self._followed:
                self._follow()
            for model, running in list(self._running.items()):
                await self._look(model, running)

    async def _look(self, model: str, running: _Running) -> None:
        age = self._clock.now() - running.since
        if running.state == "draining":
            if not self._busy_with(running.engine) or age > DRAIN_SECONDS:
                await self._end(model, running)
            return
        offered = self._shelf.offers(running.engine)
        if offered and running.state == "starting":
            running.state = "serving"
        elif not offered and running.state == "serving":
            running.state, running.since = "starting", self._clock.now()
        elif not offered and age > START_SECONDS:
            reason = self._shelf.note(running.engine) or "it does not get ready"
            log.warning("%s was given up: %s", model, reason)
            self._failed[model] = reason
            self._shelf.withhold(running.engine)
            await self._end(model, running)

    async def _end(self, model: str, running: _Running) -> None:
        await self._shelf.remove(running.engine)
        if self._running.get(model) is running:
            del self._running[model]
        self._follow()
