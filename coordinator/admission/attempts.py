"""How often anybody may knock: by node, by where it comes from, and in all."""

from __future__ import annotations

from dht.allowance import Allowance
from mesh.ids import NodeId

NODE_BURST, NODE_RATE = 10.0, 0.2
"""Requests of one node: at once, and a second after that. A retry every few seconds passes."""
SOURCE_BURST, SOURCE_RATE = 64.0, 2.0
"""Requests from one address, behind which a household or a whole office may sit."""
ALL_BURST, ALL_RATE = 256.0, 50.0
"""Requests of all strangers together: each costs a round among the coordinators."""
WRONG_COST = 4.0
"""What a wrong secret costs beyond a request."""
EVERYBODY = NodeId("")


class Attempts:
    """Three token buckets that must all give. Bounded by `Allowance`."""

    def __init__(self) -> None:
        self._nodes = Allowance(rate=NODE_RATE, burst=NODE_BURST)
        self._sources = Allowance(rate=SOURCE_RATE, burst=SOURCE_BURST)
        self._all = Allowance(rate=ALL_RATE, burst=ALL_BURST)

    def allow(self, node: NodeId, source: str, now: float) -> bool:
        """Whether this request may be looked at; counted against the node in any case."""
        known = self._nodes.take(node, 1.0, now)
        return (
            known
            and self._sources.take(NodeId(source), 1.0, now)
            and self._all.take(EVERYBODY, 1.0, now)
        )

    def note_wrong(self, node: NodeId, source: str, now: float) -> None:
        """A secret that is none came from there."""
        self._nodes.reserve(node, WRONG_COST, now)
        self._sources.reserve(NodeId(source), WRONG_COST, now)
