"""Few nodes and services, written down shortly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from coordinator.assignment.assign import assign
from coordinator.assignment.placement import Assignment
from coordinator.assignment.supply import Supply
from mesh.capability import Gpu, Resources, Runnable
from mesh.ids import NodeId
from mesh.targets import ServiceTarget

GIB = 2**30


def node_id(name: str) -> NodeId:
    """Forty digits that begin with the name's own."""
    return NodeId(name.encode().hex().ljust(40, "0"))


def supply(
    name: str,
    *held: Runnable,
    memory: int = 32,
    cards: Sequence[int] = (),
    serves: Sequence[str] = (),
    own: Sequence[str] = (),
    eligible: bool = True,
) -> Supply:
    """A node; sizes in GiB. `serves` of what it holds, `own` by its owner's own engine."""
    by_model = {each.model: each for each in held}
    served = {model: by_model[model].engine for model in serves}
    served |= dict.fromkeys(own, "ollama")
    gpus = tuple(Gpu("card", size * GIB) for size in cards)
    return Supply(
        node_id(name), Resources(8.0, memory * GIB, gpus), by_model, served, eligible, False, {}
    )


def holds(model: str, *, memory: int = 1, gpu: int = 0, engine: str = "llama.cpp") -> Runnable:
    """A model that could be started; sizes in GiB."""
    return Runnable(model, engine, memory * GIB, gpu * GIB)


def target(name: str, *, priority: int = 1, replicas: int = 1) -> ServiceTarget:
    """A service whose model has its name."""
    return ServiceTarget(name, name, priority=priority, min_replicas=replicas)


class Leader:
    """Computes step by step; what it told is what nodes do, at once or when the test says so."""

    def __init__(self, *targets: ServiceTarget) -> None:
        self.targets: Sequence[ServiceTarget] = targets
        self.assignment = Assignment()
        self.now = 0.0

    def step(self, *supplies: Supply, after: float = 1.0) -> list[str]:
        """The next assignment as "service@node state", ordered."""
        self.now += after
        self.assignment = assign(self.targets, supplies, self.assignment, self.now)
        return placed(self.assignment)

    def told(self, name: str) -> list[str]:
        """What a node is to run."""
        return [model for model, _ in self.assignment.models().get(node_id(name), ())]


def placed(assignment: Assignment) -> list[str]:
    return [
        f"{each.service}@{bytes.fromhex(each.node).rstrip(bytes(1)).decode()} {each.state}"
        for each in assignment.placements
    ]


def serving(supply: Supply, *models: str) -> Supply:
    """The same node when its record shows exactly these of what it holds, and its own."""
    own = {model: engine for model, engine in supply.served.items() if model not in supply.runnable}
    return replace(
        supply, served={**own, **{model: supply.runnable[model].engine for model in models}}
    )
