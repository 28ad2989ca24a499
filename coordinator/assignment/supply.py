"""What one live node could run, and what it serves now, as the assignment sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mesh.capability import NodeRecord, NodeState, Resources, Runnable
from mesh.ids import NodeId

TAKES_MORE: frozenset[NodeState] = frozenset({"starting", "ready", "degraded"})
"""States in which a node may be given something to run."""


@dataclass(frozen=True, slots=True)
class Supply:
    """One node of the live set."""

    node: NodeId
    resources: Resources
    runnable: Mapping[str, Runnable]
    """By model. What a node always serves by itself is not in here."""
    served: Mapping[str, str]
    """Engine by model, of what is served now and passed its sample."""
    eligible: bool = True
    degraded: bool = False
    barred: Mapping[str, str] = field(default_factory=dict)
    """Why a model cannot be started there for now, by model: it refused, or failed."""

    def holds(self, model: str, engine: str) -> bool:
        """Whether the node could start the model on that engine ("" is any)."""
        runnable = self.runnable.get(model)
        return runnable is not None and engine in ("", runnable.engine)

    def serves(self, model: str, engine: str) -> bool:
        """Whether the node serves the model now."""
        served = self.served.get(model)
        return served is not None and engine in ("", served)


def supply_of(record: NodeRecord, barred: Mapping[str, str] | None = None) -> Supply:
    """A node's record in the assignment's words."""
    return Supply(
        node=record.node_id,
        resources=record.resources,
        runnable={each.model: each for each in record.runnable},
        served={each.ref.name: each.ref.engine for each in record.models},
        eligible=record.state in TAKES_MORE,
        degraded=record.state == "degraded",
        barred=barred or {},
    )
