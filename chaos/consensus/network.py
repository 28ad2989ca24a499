"""A network that loses, delays, doubles, overtakes and cuts, by a seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from mesh.ids import NodeId


@dataclass
class SimulatedNetwork:
    """Says when a message arrives, if at all, and how often. Seconds."""

    rng: Random
    loss: float
    doubling: float
    delay: float
    cut: set[tuple[NodeId, NodeId]] = field(default_factory=set)
    """(from, to) pairs between which nothing passes."""

    is_calm: bool = False

    def arrivals(self, sender: NodeId, to: NodeId) -> tuple[float, ...]:
        """Delays after which copies arrive."""
        if (sender, to) in self.cut or self.rng.random() < self.loss:
            return ()
        copies = 2 if self.rng.random() < self.doubling else 1
        return tuple(self.rng.expovariate(1 / self.delay) + 0.0005 for _ in range(copies))

    def isolate(self, group: set[NodeId], everyone: list[NodeId], *, one_way: bool) -> None:
        """Cut a group off: both ways, or only what it sends."""
        if self.is_calm:
            return
        for inside in group:
            for outside in everyone:
                if outside not in group:
                    self.cut.add((inside, outside))
                    if not one_way:
                        self.cut.add((outside, inside))

    def calm(self) -> None:
        """No more faults; only the delay stays."""
        self.is_calm = True
        self.cut.clear()
        self.loss = self.doubling = 0.0
