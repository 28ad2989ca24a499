"""Where services run, and how far each has got."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mesh.ids import NodeId

PlacementState = Literal["waiting", "starting", "serving", "leaving", "draining"]
"""
waiting --room--> starting --its record shows the model--> serving
   serving <--wanted again-- leaving --others serve in its place--> draining --not shown--> (gone)

`waiting`: something else on the node has to end first; the node was not told yet.
`leaving`: no longer counted on, and still running until it is replaced.
`draining`: the node was told to finish what it accepted and to stop.
A serving placement whose node no longer shows the model is starting again.
"""

RUNNING: frozenset[PlacementState] = frozenset({"starting", "serving", "leaving"})
"""What the node is told to run."""
COUNTED: frozenset[PlacementState] = frozenset({"waiting", "starting", "serving"})
"""What counts towards a service's replicas."""


@dataclass(frozen=True, slots=True)
class Placement:
    """One service on one node."""

    service: str
    model: str
    engine: str
    node: NodeId
    state: PlacementState
    since: float
    """When it was placed there."""
    changed: float
    """When it came into this state."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """All placements, ordered by service and node."""

    placements: tuple[Placement, ...] = ()

    def models(self) -> Mapping[NodeId, tuple[tuple[str, str], ...]]:
        """(model, engine) that each node is to run, ordered; nodes with nothing to run are out."""
        found: dict[NodeId, set[tuple[str, str]]] = {}
        for placement in self.placements:
            if placement.state in RUNNING:
                found.setdefault(placement.node, set()).add((placement.model, placement.engine))
        return {node: tuple(sorted(models)) for node, models in found.items()}

    @property
    def settled(self) -> bool:
        """Nothing is on its way: every placement serves."""
        return all(placement.state == "serving" for placement in self.placements)
