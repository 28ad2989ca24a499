"""The engines of this node, and what they offer now."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from random import Random

from mesh.capability import ModelRef, ServedModel
from mesh.clock import Clock
from mesh.lifecycle import Tasks
from services.engine_watch import EngineWatch
from services.engines.discovery import Discovery
from services.engines.engine import Engine
from services.offering import (
    Offered,
    average_speed,
    hidden,
    lay_out,
    resolve,
    speed_matters,
)

log = logging.getLogger(__name__)

START_SECONDS = 0.9
"""What `start` waits for engines; slower ones are offered when they have answered."""
SCAN_SECONDS = (15.0, 30.0)
"""Between two scans for engines; drawn, so that nodes on one machine do not scan in step."""
FORGET_SECONDS = 60.0
"""A found engine that has been gone for this long is dropped until a scan finds it again."""
MISSED_SECONDS = 10.0
"""An engine that has been gone for this long makes its node degraded; shorter is a restart."""
LEAST_TOKENS = 8
"""Shorter answers say little about a model's speed."""
SPEED_EVERY = 10.0
"""Seconds between two announcements of changed speeds: each is signed and goes to everybody."""
MAX_ENGINES = 32
LOCAL = ("127.0.0.1", "0.0.0.0")
"""Hosts that are this machine, after `place_of`."""


class Catalog:
    """Owns all engines, found ones too. Models of `fallback` are offered while nothing else is."""

    def __init__(
        self,
        *,
        engines: Sequence[Engine],
        discovery: Discovery | None = None,
        fallback: Engine | None = None,
        aliases: Mapping[str, str],
        clock: Clock,
        tasks: Tasks,
        rng: Random,
    ) -> None:
        self._discovery = discovery
        self._aliases = aliases
        self._clock = clock
        self._tasks = tasks
        self._rng = rng
        self._watches = [self._watch(engine, found=False) for engine in engines]
        self._fallback = None if fallback is None else self._watch(fallback, found=False)
        self._loops: dict[EngineWatch, asyncio.Task[None]] = {}
        self._withheld: set[EngineWatch] = set()
        self._scanning: asyncio.Task[None] | None = None
        self._scanned = asyncio.Event()
        self._looked = False
        self._watchers: list[Callable[[], None]] = []
        self._offered: dict[str, Offered] = {}
        self._speeds: dict[tuple[str, str], float] = {}
        self._told: dict[tuple[str, str], float] = {}
        self._next_speed = 0.0
        """When watchers may next be told of a speed."""

    async def start(self) -> None:
        """Look at all engines at once; returns when all have answered, after 0.9 s at most."""
        for watch in self._every():
            self._begin(watch)
        if self._discovery is not None:
            self._scanning = self._tasks.supervise(self._scan_for_ever, "engine scan")
        try:
            async with asyncio.timeout(START_SECONDS):
                await self.first_look()
        except TimeoutError:
            slow = [watch.engine.name for watch in self._every() if not watch.settled.is_set()]
            log.info("not waiting for %s", ", ".join(slow) or "the scan for engines")

    @property
    def looked(self) -> bool:
        """Whether the first look at every engine is over; from then on, for ever."""
        if not self._looked and (self._discovery is None or self._scanned.is_set()):
            self._looked = all(watch.settled.is_set() for watch in self._every())
        return self._looked

    async def first_look(self) -> None:
        """Return when the first look at every engine is over."""
        if self._discovery is not None:
            await self._scanned.wait()
        for watch in () if self.looked else self._every():
            await watch.settled.wait()

    async def close(self) -> None:
        """Stop looking and close every engine. Safe to call twice."""
        loops = list(self._loops.values())
        if self._scanning is not None:
            loops.append(self._scanning)
        for loop in loops:
            loop.cancel()
        if loops:
            await asyncio.wait(loops)
        self._loops.clear()
        self._scanning = None
        for watch in self._every():
            await watch.engine.close()

    def models(self) -> tuple[ServedModel, ...]:
        """What is offered now, best first."""
        return tuple(
            ServedModel(one.ref, one.slots, self._speeds.get(_key(one.ref), 0.0))
            for one in self._offered.values()
        )

    def find(self, model: str) -> tuple[Engine, ModelRef, int] | None:
        """Engine, model and the engine's slots for a name, an alias or `auto`."""
        name = resolve(model, self._aliases, self._offered)
        if name is None:
            return None
        found = self._offered[name]
        return found.engine, found.ref, found.slots

    def observe(self, model: ModelRef, tokens: int, seconds: float) -> None:
        """Told how fast a finished job went; tells watchers when the average moved much."""
        if model.name not in self._offered or tokens < LEAST_TOKENS:
            return
        key = _key(model)
        speed = average_speed(self._speeds.get(key, 0.0), tokens, seconds)
        self._speeds[key] = speed
        now = self._clock.now()
        if speed_matters(self._told.get(key, 0.0), speed) and now >= self._next_speed:
            self._next_speed = now + SPEED_EVERY
            self._tell()

    def withdraw(self, engine: Engine, reason: str) -> None:
        """Told that an engine stopped answering: off offer now, looked at again at once."""
        for watch in self._every():
            if watch.engine is engine:
                watch.withdraw(reason)

    def add(self, engine: Engine) -> bool:
        """Look after one more engine, named unlike the others; False when there are too many."""
        if len(self._watches) >= MAX_ENGINES:
            return False
        watch = self._watch(engine, found=False)
        self._watches.append(watch)
        self._begin(watch)
        return True

    def withhold(self, engine: Engine) -> None:
        """Offer an engine no more; what it runs goes on."""
        self._withheld.update(watch for watch in self._watches if watch.engine is engine)
        self._changed()

    async def remove(self, engine: Engine) -> None:
        """Look after an engine no more, and close it. Harmless when it is not here."""
        for watch in tuple(self._watches):
            if watch.engine is engine:
                await self._give_up(watch)
        self._changed()

    def offers(self, engine: Engine) -> bool:
        """Whether anything of an engine is on offer: its own sample has passed."""
        return any(one.engine is engine for one in self._offered.values())

    def offering(self) -> frozenset[str]:
        """Names of the engines that have something on offer."""
        return frozenset(one.engine.name for one in self._offered.values())

    def served_by_others(self, engines: Collection[Engine]) -> frozenset[str]:
        """Models on offer that none of these engines nor the fallback serves."""
        fallback = None if self._fallback is None else self._fallback.engine
        return frozenset(
            name
            for name, one in self._offered.items()
            if one.engine is not fallback and all(one.engine is not each for each in engines)
        )

    def note(self, engine: Engine) -> str:
        """Why an engine is not on offer; "" when it is or is not here."""
        return next((watch.note for watch in self._watches if watch.engine is engine), "")

    def on_change(self, watcher: Callable[[], None]) -> None:
        """Be told when what is offered has changed."""
        self._watchers.append(watcher)

    def notes(self) -> tuple[str, ...]:
        """What the owner should know: engines that are not offered, and why."""
        silent = (f"{one.engine.name}: {one.note}" for one in self._watches if one.note)
        found = self._discovery.notes() if self._discovery is not None else ()
        return (*silent, *hidden(self._shelves()), *found)

    def ailing(self) -> tuple[str, ...]:
        """Names of engines that are missed: `notes` says why each does not answer.

        While anything is on offer, an engine that never was is not missed, and one that was only
        after MISSED_SECONDS.
        """
        gone = [
            (one, one.gone_since)
            for one in self._every()
            if one.gone_since is not None and one not in self._withheld
        ]
        if self._offered:
            late = self._clock.now() - MISSED_SECONDS
            gone = [(one, since) for one, since in gone if one.served and since < late]
        return tuple(one.engine.name for one, _ in gone)

    def places(self) -> frozenset[str]:
        """host:port, or another name, of every engine that is looked after."""
        return frozenset(place_of(one.engine.name) for one in self._every())

    def _watch(self, engine: Engine, *, found: bool) -> EngineWatch:
        return EngineWatch(
            engine, found=found, clock=self._clock, rng=self._rng, changed=self._changed
        )

    def _begin(self, watch: EngineWatch) -> None:
        self._loops[watch] = self._tasks.supervise(watch.run, f"watch {watch.engine.name}")

    def _every(self) -> tuple[EngineWatch, ...]:
        return (*self._watches, *(() if self._fallback is None else (self._fallback,)))

    def _shelves(self) -> list[tuple[Engine, tuple[ModelRef, ...], int]]:
        open_ones = (one for one in self._watches if one not in self._withheld)
        shelves = [(one.engine, one.offered, one.slots) for one in open_ones if one.offered]
        if not shelves and self._fallback is not None:
            shelves = [(self._fallback.engine, self._fallback.offered, self._fallback.slots)]
        return shelves

    def _changed(self) -> None:
        offered = lay_out(self._shelves())
        if offered == self._offered:
            return
        self._offered = offered
        kept = {_key(one.ref) for one in offered.values()}
        self._speeds = {key: speed for key, speed in self._speeds.items() if key in kept}
        self._tell()

    def _tell(self) -> None:
        self._told = dict(self._speeds)
        for watcher in self._watchers:
            watcher()

    async def _scan_for_ever(self) -> None:
        while True:
            await self.scan()
            self._scanned.set()
            await asyncio.sleep(self._rng.uniform(*SCAN_SECONDS))

    async def scan(self) -> None:
        """Forget engines that are long gone, then take those that have appeared."""
        if self._discovery is None:
            return
        await self._forget()
        known = {place_of(watch.engine.name) for watch in self._watches}
        for engine in await self._discovery.scan(known):
            if len(self._watches) >= MAX_ENGINES:
                await engine.close()
                continue
            watch = self._watch(engine, found=True)
            self._watches.append(watch)
            self._begin(watch)

    async def _forget(self) -> None:
        now = self._clock.now()
        for watch in tuple(self._watches):
            gone = watch.gone_since
            if watch.found and gone is not None and now - gone > FORGET_SECONDS:
                await self._give_up(watch)

    async def _give_up(self, watch: EngineWatch) -> None:
        self._watches.remove(watch)
        self._withheld.discard(watch)
        loop = self._loops.pop(watch, None)
        if loop is not None:
            loop.cancel()
            await asyncio.wait((loop,))
        await watch.engine.close()


def place_of(engine_name: str) -> str:
    """host:port out of an engine's name, one spelling for this machine."""
    place = engine_name.rpartition("@")[2]
    host, colon, port = place.rpartition(":")
    return f"127.0.0.1:{port}" if colon and host in ("localhost", "[::1]") else place


def local_ports(places: Iterable[str]) -> frozenset[int]:
    """The ports of those places that are on this machine."""
    split = (place.rpartition(":") for place in places)
    return frozenset(int(port) for host, _, port in split if host in LOCAL and port.isdigit())


def _key(model: ModelRef) -> tuple[str, str]:
    return model.name, model.engine
