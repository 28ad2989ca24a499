"""The region of a key: where its records are stored, and how large the mesh must be for that.

Whoever puts many identities next to a key is nearer to it than every honest node. So records go to
all nodes in a region that is expected to hold enough honest ones, however many others crowd in it
(SR-DHT-Store, arXiv 2505.01139), and searches enter it at three different places.
"""

from __future__ import annotations

import heapq
import math
import statistics
from collections import deque
from collections.abc import Iterable, Sequence
from random import Random

from dht.contact import Contact

ID_BITS = 160
REGION = 12
"""Nodes a region is expected to hold at least; up to twice as many, as its size is a power of 2."""
_SAMPLE = 20
"""Nearest nodes whose distance tells how dense a part of the space is."""
_ESTIMATES = 31
"""Estimates remembered. Their median stands: no attacker is near the half of all random places."""


class MeshSize:
    """How many nodes hold the table, estimated from how near the nearest to some places are."""

    def __init__(self) -> None:
        self._estimates: deque[float] = deque(maxlen=_ESTIMATES)

    def observe(self, place: bytes, nodes: Iterable[Contact]) -> None:
        """Learn from a finished look-up: `nodes` holds all that are nearest to the place."""
        target = int.from_bytes(place, "big")
        distances = heapq.nsmallest(_SAMPLE, (each.long_id ^ target for each in nodes))
        if distances:
            share = (distances[-1] + 1) / 2**ID_BITS
            self._estimates.append(len(distances) / share if len(distances) == _SAMPLE else 1.0)

    def nodes(self, known: int) -> float:
        """The estimate, never fewer than are known to this node."""
        return max(float(known), statistics.median(self._estimates) if self._estimates else 0.0)


def region_bits(nodes: float, expected: int = REGION) -> int:
    """Leading bits that members of a key's region share with it."""
    return min(ID_BITS - 8, max(0, math.floor(math.log2(max(1.0, nodes) / expected))))


def in_region(node: Contact, key: bytes, bits: int) -> bool:
    """Whether a node shares so many leading bits with a key."""
    return (node.long_id ^ int.from_bytes(key, "big")) >> (ID_BITS - bits) == 0


def entries(key: bytes, bits: int, count: int, rng: Random) -> Sequence[bytes]:
    """Random places in the other half of a key's region, its other quarter, and so on.

    Whoever crowds around the key is in neither, and nobody knows the places beforehand.
    """
    target = int.from_bytes(key, "big")
    found = []
    for each in range(count):
        flip = 1 << (ID_BITS - 1 - bits - each)
        found.append(((target ^ flip) & -flip | rng.randrange(flip)).to_bytes(20, "big"))
    return found
