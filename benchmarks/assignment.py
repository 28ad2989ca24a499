"""How long the assignment of services takes in a large mesh: `python -m benchmarks.assignment`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import TypeVar

from coordinator.assignment.assign import assign
from coordinator.assignment.gaps import find_gaps
from coordinator.assignment.placement import Assignment
from coordinator.assignment.supply import Supply
from mesh.capability import Gpu, Resources, Runnable
from mesh.ids import NodeId
from mesh.targets import ServiceTarget

NODES, SERVICES, SEED = 2_000, 50, 3
GIB = 2**30
CARDS = ((), (), (8,), (16,), (24,), (24, 24))

T = TypeVar("T")


def main() -> None:
    """Print one line a computation."""
    rng = Random(SEED)
    targets = make_targets(rng)
    supplies = make_supplies(rng, targets)
    _series("as declared", targets, supplies)
    everywhere = [replace(target, min_replicas=NODES) for target in targets]
    _series("every service on every node", everywhere, supplies)


def make_targets(rng: Random) -> list[ServiceTarget]:
    """Services of unlike size, 1 to 30 replicas each."""
    return [
        ServiceTarget(
            f"s{number}",
            f"m{number}",
            priority=number % 5,
            min_replicas=rng.randint(1, 30),
            memory=rng.randint(1, 8) * GIB,
            gpu_memory=rng.choice((0, 0, 7, 14, 22)) * GIB,
        )
        for number in range(SERVICES)
    ]


def make_supplies(rng: Random, targets: Sequence[ServiceTarget]) -> list[Supply]:
    """Machines of unlike size, each with some of the models."""
    models = [Runnable(one.model, "llama.cpp", one.memory, one.gpu_memory) for one in targets]
    supplies = []
    for number in range(NODES):
        held = {one.model: one for one in rng.sample(models, rng.randint(2, 20))}
        gpus = tuple(Gpu("card", size * GIB) for size in rng.choice(CARDS))
        resources = Resources(8.0, rng.choice((8, 16, 32, 64)) * GIB, gpus)
        supplies.append(Supply(NodeId(f"{number:040x}"), resources, held, {}))
    return supplies


def _series(title: str, targets: Sequence[ServiceTarget], supplies: Sequence[Supply]) -> None:
    print(f"{title}: {len(supplies)} nodes, {len(targets)} services")
    first = _timed("from nothing", lambda: assign(targets, supplies, Assignment(), 0.0))
    obeying = _obey(supplies, first)
    again = _timed("everything serves", lambda: assign(targets, obeying, first, 5.0))
    left = _obey(supplies, again)[1:]
    after = _timed("a node was lost", lambda: assign(targets, left, again, 10.0))
    gaps = _timed("gap report", lambda: find_gaps(targets, left, after, 10.0))
    covered = sum(each.level == "ok" for each in gaps)
    print(f"  {len(first.placements)} placements, {covered} services fully covered")


def _obey(supplies: Sequence[Supply], assignment: Assignment) -> list[Supply]:
    told = assignment.models()
    return [
        replace(supply, served={model: "llama.cpp" for model, _ in told.get(supply.node, ())})
        for supply in supplies
    ]


def _timed(what: str, compute: Callable[[], T]) -> T:
    began = time.process_time()
    result = compute()
    print(f"  {what:20} {1000 * (time.process_time() - began):7.1f} ms")
    return result


if __name__ == "__main__":
    main()
