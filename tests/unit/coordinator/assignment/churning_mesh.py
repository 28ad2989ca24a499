"""Eight unlike nodes that come and go, and what an assignment must do for them all the while.

Everything follows from the seed. A violation is a line of text; the story of a run is in `log`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from random import Random

from coordinator.assignment.assign import assign
from coordinator.assignment.placement import Assignment
from coordinator.assignment.supply import Supply
from mesh.capability import Gpu, Resources, Runnable
from mesh.ids import NodeId
from mesh.room import Room, need_of
from mesh.targets import ServiceTarget

GIB = 2**30
TICK = 0.5
ALLOWED_DARK = 30.0
"""Seconds a feasible service may be without a provider after it lost its last."""

Assign = Callable[[Sequence[ServiceTarget], Sequence[Supply], Assignment, float], Assignment]

MODELS = {
    "chat": Runnable("big-14b", "llama.cpp", 2 * GIB, 14 * GIB),
    "code": Runnable("code-7b", "llama.cpp", 1 * GIB, 7 * GIB),
    "vision": Runnable("vision-8b", "llama.cpp", 1 * GIB, 8 * GIB),
    "notes": Runnable("notes-3b", "llama.cpp", 4 * GIB),
    "tags": Runnable("tags-1b", "llama.cpp", 2 * GIB),
    "search": Runnable("search-1b", "llama.cpp", 3 * GIB),
    "small": Runnable("demo", "demo", GIB // 2),
}
TARGETS = tuple(
    ServiceTarget(name, runnable.model, priority=1 + index // 2, min_replicas=1 + index % 2)
    for index, (name, runnable) in enumerate(MODELS.items())
)
MACHINES: tuple[tuple[int, tuple[int, ...], tuple[str, ...]], ...] = (
    (64, (24, 24), ("chat", "code", "vision", "notes", "tags", "search", "small")),
    (32, (24,), ("chat", "code", "vision", "small")),
    (32, (16,), ("chat", "vision", "search", "small")),
    (16, (8,), ("code", "vision", "tags", "small")),
    (16, (8,), ("code", "vision", "notes", "search", "small")),
    (8, (), ("notes", "tags", "small")),
    (8, (), ("notes", "search", "tags", "small")),
    (4, (), ("tags", "search", "small")),
)


@dataclass
class Machine:
    """One node: what it was told to run, and how far it has got."""

    supply: Supply
    up: bool = True
    back_at: float = 0.0
    told: frozenset[str] = frozenset()
    loading: dict[str, float] = field(default_factory=dict)
    serving: set[str] = field(default_factory=set)
    draining: dict[str, float] = field(default_factory=dict)

    def crash(self, back_at: float) -> None:
        self.up, self.back_at, self.told = False, back_at, frozenset()
        self.loading.clear()
        self.serving.clear()
        self.draining.clear()

    def tell(self, models: Iterable[str], now: float, rng: Random) -> int:
        """Obey; how many starts that were."""
        self.told = frozenset(models)
        starts = 0
        for model in sorted((self.serving | set(self.loading)) - self.told):
            self.serving.discard(model)
            self.loading.pop(model, None)
            self.draining[model] = now + rng.uniform(0.0, 5.0)
        for model in sorted(self.told - self.serving - set(self.loading) - set(self.draining)):
            self.loading[model] = now + rng.uniform(1.0, 8.0)
            starts += 1
        return starts

    def pass_time(self, now: float) -> None:
        for model in [model for model, ready in self.loading.items() if now >= ready]:
            del self.loading[model]
            self.serving.add(model)
        for model in [model for model, over in self.draining.items() if now >= over]:
            del self.draining[model]

    def overcommitted(self) -> bool:
        """Whether what is in memory is more than there is."""
        room = Room(self.supply.resources)
        for model in sorted(self.serving | set(self.loading)):
            room.take(model, need_of(self.supply.runnable[model]))
        return room.memory < 0 or min(room.cards, default=0) < 0

    def seen(self) -> Supply:
        served = {model: self.supply.runnable[model].engine for model in self.serving}
        return Supply(
            self.supply.node, self.supply.resources, self.supply.runnable, served, True, False, {}
        )


class ChurningMesh:
    """Runs the mesh under a leader that computes whenever something changed, and each second."""

    def __init__(self, seed: int, compute: Assign = assign, *, churn: float = 12.0) -> None:
        """`churn`: mean seconds between two crashes."""
        self.rng = Random(seed)
        self.now = 0.0
        self.machines = [Machine(_supply(number)) for number in range(len(MACHINES))]
        self.assignment = Assignment()
        self.violations: list[str] = []
        self.starts = self.crashes = self.leaders = 0
        self.dark_longest = 0.0
        self._compute = compute
        self._churn = churn
        self._next_crash = 20.0
        self._dark: dict[str, float] = {}
        self._hanging = ""
        self._hangs_on: Machine | None = None

    def fail_starts_of(self, model: str) -> None:
        """The model never gets ready on the first node that is told to start it."""
        self._hanging = model

    def restart_server_of(self, model: str) -> None:
        """A node that serves the model is back before anybody missed it, with nothing loaded."""
        machine = next(machine for machine in self.machines if model in machine.serving)
        machine.crash(self.now)
        machine.up = True

    def run(self, seconds: float) -> None:
        while self.now < seconds:
            self.now += TICK
            self._weather()
            for machine in self.machines:
                self._hang(machine)
                machine.pass_time(self.now)
            self._lead()
            self._check()

    def _hang(self, machine: Machine) -> None:
        if self._hanging not in machine.loading:
            return
        self._hangs_on = self._hangs_on or machine
        if machine is self._hangs_on:
            machine.loading[self._hanging] = self.now + TICK * 2

    def _weather(self) -> None:
        for machine in self.machines:
            if not machine.up and self.now >= machine.back_at:
                machine.up = True
        if self.now >= self._next_crash:
            self._next_crash = self.now + self.rng.expovariate(1 / self._churn)
            standing = [machine for machine in self.machines if machine.up]
            if len(standing) > 2:
                self.rng.choice(standing).crash(self.now + self.rng.uniform(2.0, 90.0))
                self.crashes += 1
            if self.rng.random() < 0.1:
                self.assignment = Assignment()  # a new leader knows only what records show
                self.leaders += 1

    def _lead(self) -> None:
        live = [machine.seen() for machine in self.machines if machine.up]
        self.rng.shuffle(live)
        self.assignment = self._compute(TARGETS, live, self.assignment, self.now)
        models = self.assignment.models()
        self._check_stops()
        for machine in self.machines:
            if machine.up:
                wanted = [model for model, _ in models.get(machine.supply.node, ())]
                self.starts += machine.tell(wanted, self.now, self.rng)

    def _check_stops(self) -> None:
        """Nobody is told to stop the last copy of what could go on being served."""
        models = self.assignment.models()
        live = [machine for machine in self.machines if machine.up]
        feasible = feasible_services(tuple(machine.supply for machine in live))
        kept = {
            model
            for machine in live
            for model, _ in models.get(machine.supply.node, ())
            if model in machine.serving
        }
        for target in TARGETS:
            served = any(target.model in machine.serving for machine in live)
            if served and target.model not in kept and target.name in feasible:
                self._violated(f"the last copy of {target.name} is stopped")

    def _check(self) -> None:
        live = [machine for machine in self.machines if machine.up]
        for machine in live:
            if machine.overcommitted():
                self._violated(f"{machine.supply.node[:4]} holds more than fits")
        served = {model for machine in live for model in machine.serving}
        feasible = feasible_services(tuple(machine.supply for machine in live))
        for target in TARGETS:
            if target.model in served or target.name not in feasible:
                self._dark.pop(target.name, None)
                continue
            since = self._dark.setdefault(target.name, self.now)
            self.dark_longest = max(self.dark_longest, self.now - since)
            if self.now - since > ALLOWED_DARK:
                self._violated(f"{target.name} has been dark since {since}")

    def _violated(self, words: str) -> None:
        self.violations.append(f"{self.now:.1f} s: {words}")


def _supply(number: int) -> Supply:
    memory, cards, services = MACHINES[number]
    gpus = tuple(Gpu("card", size * GIB) for size in cards)
    runnable = {MODELS[name].model: MODELS[name] for name in services}
    node = NodeId(f"{number + 10:02x}" * 20)
    return Supply(node, Resources(8.0, memory * GIB, gpus), runnable, {}, True, False, {})


_FEASIBLE: dict[tuple[NodeId, ...], frozenset[str]] = {}


def feasible_services(live: tuple[Supply, ...]) -> frozenset[str]:
    """Services that can be covered together, the more critical ones first: by trying everything."""
    key = tuple(supply.node for supply in live)
    if key not in _FEASIBLE:
        chosen: list[str] = []
        for target in sorted(TARGETS, key=lambda each: (each.priority, each.name)):
            if _all_fit([*chosen, target.name], live):
                chosen.append(target.name)
        _FEASIBLE[key] = frozenset(chosen)
    return _FEASIBLE[key]


def _all_fit(services: Sequence[str], live: tuple[Supply, ...]) -> bool:
    return _place([MODELS[name] for name in services], live, {})


def _place(
    models: Sequence[Runnable], live: tuple[Supply, ...], held: dict[NodeId, list[Runnable]]
) -> bool:
    if not models:
        return True
    first, *rest = models
    for supply in live:
        if first.model not in supply.runnable:
            continue
        mine = held.setdefault(supply.node, [])
        mine.append(first)
        if _packs(mine, supply.resources) and _place(rest, live, held):
            return True
        mine.pop()
    return False


def _packs(models: Sequence[Runnable], resources: Resources) -> bool:
    """Whether some order of filling puts all of them in."""
    if sum(model.memory for model in models) > resources.memory:
        return False
    heavy = [model.gpu_memory for model in models if model.gpu_memory]
    return any(_fills(order, resources) for order in permutations(heavy))


def _fills(order: Sequence[int], resources: Resources) -> bool:
    free = [gpu.memory for gpu in resources.gpus]
    for size in order:
        fitting = [(room, index) for index, room in enumerate(free) if room >= size]
        if not fitting:
            return False
        free[min(fitting)[1]] -= size
    return True
