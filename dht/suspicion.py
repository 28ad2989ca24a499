"""Nodes that somebody calls lost, until that is confirmed or denied. Pure and bounded.

    nobody accuses ──first accusation──► suspected ──a second accuser, or nobody denies──► believed
          ▲                                  │
          └────── a newer record, a link ────┘

One observer can be wrong: starved, or cut off by itself. Those who are linked to a node that died
all see it within about a second; a node that lives answers its first accusation in a fraction of
one (after SWIM's suspicion with Lifeguard's confirmations, arXiv 1707.00788).
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Literal

from mesh.ids import NodeId

CONFIRMATIONS = 2
"""Accusers that are believed at once."""
SUSPECT_FOR = 0.5
"""Seconds a single accuser is not believed yet; stretched by this node's own patience. With 2.1 s
until silence is noticed this keeps within 3 s, with a broken link within 1 s."""
MAX_SUSPECTS = 4_096
"""Nodes suspected at one time; beyond it the oldest suspicion is dropped, unbelieved."""
LATE = 0.25
"""Seconds by which a time-out may be late: then this node slept and hears the denial first."""

Verdict = Literal["suspected", "believed", "known"]


@dataclass(slots=True)
class _Suspicion:
    seq: int
    wait: float
    deadline: float
    accusers: set[NodeId] = field(default_factory=set)
    """At most CONFIRMATIONS."""
    extended: bool = False


class Suspicions:
    """Who is accused by whom."""

    def __init__(self, *, confirmations: int = CONFIRMATIONS) -> None:
        self._confirmations = confirmations
        self._suspects: OrderedDict[NodeId, _Suspicion] = OrderedDict()
        self._deadlines: list[tuple[float, NodeId]] = []
        """A heap; entries of cleared suspicions are skipped when their time comes."""

    def __len__(self) -> int:
        return len(self._suspects)

    def accuse(self, node: NodeId, seq: int, accuser: NodeId, now: float, wait: float) -> Verdict:
        """Somebody says that the node, which had this seq, is lost. "known": that is no news."""
        found = self._suspects.get(node)
        if found is None or found.seq < seq:
            found = _Suspicion(seq, wait, now + wait)
            self._suspects[node] = found
            heapq.heappush(self._deadlines, (found.deadline, node))
            while len(self._suspects) > MAX_SUSPECTS:
                self._suspects.popitem(last=False)
        elif found.seq > seq or accuser in found.accusers:
            return "known"
        found.accusers.add(accuser)
        if len(found.accusers) < self._confirmations:
            return "suspected"
        del self._suspects[node]
        return "believed"

    def clear(self, node: NodeId) -> None:
        """The node was heard of. Harmless when nobody accused it."""
        self._suspects.pop(node, None)

    def due(self, now: float) -> list[tuple[NodeId, int]]:
        """(node, seq) of those whom nobody defended in time; they are suspects no more."""
        believed = []
        while self._deadlines and self._deadlines[0][0] <= now:
            at, node = heapq.heappop(self._deadlines)
            found = self._suspects.get(node)
            if found is None or found.deadline != at:
                continue
            if now - at > LATE and not found.extended:
                found.deadline, found.extended = now + found.wait, True
                heapq.heappush(self._deadlines, (found.deadline, node))
                continue
            del self._suspects[node]
            believed.append((node, found.seq))
        return believed

    def next_due(self) -> float | None:
        """When to ask `due` again."""
        return self._deadlines[0][0] if self._deadlines else None
