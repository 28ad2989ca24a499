"""Which services are covered and why others are not, and who may declare services."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from mesh.ids import NodeId
from mesh.targets import ServiceTarget

CoverageLevel = Literal["critical", "warning", "ok", "unknown"]
"""critical: nobody serves it; warning: fewer than asked for; unknown: nobody told what is asked."""

MAX_REASONS = 8
"""Reasons given for one service."""
MAX_REASON = 300
"""Characters of one reason."""


@dataclass(frozen=True, slots=True)
class ServiceCoverage:
    """One service as it is covered now."""

    service: str
    model: str
    level: CoverageLevel
    providers: tuple[NodeId, ...]
    """Nodes that serve it, their own sample passed."""
    wanted: int = 0
    """Replicas asked for."""
    priority: int = 0
    starting: tuple[NodeId, ...] = ()
    reasons: tuple[str, ...] = ()
    """What is lacking, in words for people; empty when it is ok."""


@dataclass(frozen=True, slots=True)
class CoverageReport:
    """All services, the most pressing first."""

    services: tuple[ServiceCoverage, ...] = ()
    coordinator: NodeId | None = None
    """Who says so; None: this node from what it knows itself, targets unknown."""
    note: str = ""
    """What makes the report less than the whole truth; "" when nothing does."""


class Targets(Protocol):
    """The declared services. Acknowledged changes survive what the replicated state survives."""

    async def list(self) -> Sequence[ServiceTarget]:
        """All of them, ordered by name. Raises NoQuorum."""
        ...

    async def set(self, target: ServiceTarget) -> None:
        """Declare a service or change it, by its name. Raises NoQuorum."""
        ...

    async def remove(self, name: str) -> bool:
        """Ask for a service no more; False when there was none. Raises NoQuorum."""
        ...
