"""Where a model could not be started, and until when that is not tried again. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from mesh.ids import NodeId

FIRST_SECONDS = 60.0
MOST_SECONDS = 900.0
"""How long a node is spared a model it refused or failed at: at first, and doubled at most to."""
MAX_REFUSALS = 10_000
"""Remembered at a time; the oldest is forgotten first."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One model on one node."""

    reason: str
    until: float
    times: int = 1


class Refusals:
    """What nodes said they cannot run."""

    def __init__(self) -> None:
        self._found: dict[tuple[NodeId, str], Refusal] = {}

    def refused(self, node: NodeId, model: str, reason: str, now: float) -> None:
        """A node refused a model or failed at it."""
        before = self._found.pop((node, model), None)
        if before is not None and now < before.until:
            self._found[node, model] = before
            return
        times = 1 if before is None else before.times + 1
        seconds = min(MOST_SECONDS, FIRST_SECONDS * 2 ** min(times - 1, 10))
        self._found[node, model] = Refusal(reason, now + seconds, times)
        while len(self._found) > MAX_REFUSALS:
            del self._found[next(iter(self._found))]

    def started(self, node: NodeId, model: str) -> None:
        """A node serves the model: whatever it was is over."""
        self._found.pop((node, model), None)

    def barred(self, now: float) -> Mapping[NodeId, Mapping[str, str]]:
        """Reason by model, by node, of what is not to be tried now."""
        found: dict[NodeId, dict[str, str]] = {}
        for (node, model), refusal in self._found.items():
            if now < refusal.until:
                found.setdefault(node, {})[model] = refusal.reason
        return found

    def keep_only(self, nodes: Collection[NodeId], now: float) -> None:
        """Forget nodes that are gone, and what ended long ago: a node that is back starts anew."""
        self._found = {
            key: one
            for key, one in self._found.items()
            if key[0] in nodes and now < one.until + MOST_SECONDS
        }
