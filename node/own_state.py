"""What a node says its state is, and why. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from mesh.capability import NodeState


def own_state(
    *, draining: bool, paused: str = "", troubles: Sequence[str] = ()
) -> tuple[NodeState, str]:
    """Draining comes before degraded: it takes no work in any case. `paused` says why."""
    if draining:
        return "draining", "it finishes what it has and takes no more"
    if paused:
        return "draining", paused
    reasons = [trouble for trouble in troubles if trouble]
    return ("degraded", "; ".join(reasons)) if reasons else ("ready", "")
