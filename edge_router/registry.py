"""Which nodes an edge router knows: pure, in memory, bounded per mesh, per source and in all."""

from __future__ import annotations

import ipaddress
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from mesh.ids import MeshId, NodeId
from mesh.wire.edge import Seed

LIFETIME = 7_800.0
"""Seconds an announcement lasts: nodes repeat it hourly, and one may fail."""
PROBE_EVERY = 600.0
"""Seconds between two probes of a node; one that failed is not handed out and soon forgotten."""
MAX_FAILURES = 2
MAX_MESHES = 256
MAX_PER_MESH = 1_000
MAX_PER_PREFIX = 64
"""Nodes of one /24 or /48: a flood from one place cannot fill the list."""
MAX_NODES = 20_000
SEEDS = 8
"""Seeds in one answer."""


@dataclass(slots=True)
class Announced:
    """One node of one mesh."""

    mesh: MeshId
    seed: Seed
    seq: int
    source: str
    prefix: str
    expires: float
    probed_at: float
    failures: int = 0


class Full(Exception):
    """There is no room for another node. The text says which bound was met."""


class Registry:
    """Nodes by mesh. Every entry was reached before it was put in."""

    def __init__(self) -> None:
        self._meshes: dict[MeshId, OrderedDict[NodeId, Announced]] = {}
        self._prefixes: Counter[str] = Counter()

    def __len__(self) -> int:
        return sum(len(nodes) for nodes in self._meshes.values())

    def __iter__(self) -> Iterator[Announced]:
        for nodes in list(self._meshes.values()):
            yield from list(nodes.values())

    @property
    def meshes(self) -> int:
        """Meshes with at least one node."""
        return len(self._meshes)

    def is_replay(self, mesh: MeshId, node: NodeId, seq: int) -> bool:
        """Whether an announcement is older than what is known."""
        known = self._get(mesh, node)
        return known is not None and seq < known.seq

    def check_room(self, mesh: MeshId, node: NodeId, source: str) -> None:
        """Raises Full when an announcement could not be taken."""
        nodes = self._meshes.get(mesh)
        if self._get(mesh, node) is not None:
            return
        if self._prefixes[prefix_of(source)] >= MAX_PER_PREFIX:
            raise Full("too many nodes of your network are announced here")
        if nodes is None and len(self._meshes) >= MAX_MESHES:
            raise Full("this edge router serves as many meshes as it can")
        if nodes is not None and len(nodes) >= MAX_PER_MESH:
            raise Full("as many nodes of this mesh are announced as fit; they are enough to join")
        if len(self) >= MAX_NODES:
            raise Full("this edge router knows as many nodes as it can")

    def put(self, mesh: MeshId, seed: Seed, seq: int, source: str, now: float) -> None:
        """Take a node that was just reached. Raises Full."""
        self.check_room(mesh, seed.node, source)
        self._drop(mesh, seed.node)
        prefix = prefix_of(source)
        nodes = self._meshes.setdefault(mesh, OrderedDict())
        nodes[seed.node] = Announced(mesh, seed, seq, source, prefix, now + LIFETIME, now)
        self._prefixes[prefix] += 1

    def seeds(self, mesh: MeshId, asker: NodeId, rng: Random) -> Sequence[Seed]:
        """Up to SEEDS nodes that answered their last probe, from as many networks as can be.

        Never the asker itself.
        """
        alive = [
            each
            for each in self._meshes.get(mesh, OrderedDict()).values()
            if each.seed.node != asker and not each.failures
        ]
        rng.shuffle(alive)
        taken: Counter[str] = Counter()
        ranked: list[tuple[int, Seed]] = []
        for each in alive:
            ranked.append((taken[each.prefix], each.seed))
            taken[each.prefix] += 1
        ranked.sort(key=lambda pair: pair[0])
        return [seed for _, seed in ranked[:SEEDS]]

    def due(self, now: float) -> list[Announced]:
        """Nodes whose probe is due."""
        return [each for each in self if now - each.probed_at >= PROBE_EVERY]

    def probed(self, mesh: MeshId, node: NodeId, answered: bool, now: float) -> None:
        """Note a probe. A node that failed MAX_FAILURES in a row is forgotten."""
        known = self._get(mesh, node)
        if known is None:
            return
        known.probed_at = now
        known.failures = 0 if answered else known.failures + 1
        if known.failures >= MAX_FAILURES:
            self._drop(mesh, node)

    def expire(self, now: float) -> None:
        """Forget announcements past their time."""
        for each in self:
            if each.expires <= now:
                self._drop(each.mesh, each.seed.node)

    def _get(self, mesh: MeshId, node: NodeId) -> Announced | None:
        nodes = self._meshes.get(mesh)
        return None if nodes is None else nodes.get(node)

    def _drop(self, mesh: MeshId, node: NodeId) -> None:
        nodes = self._meshes.get(mesh)
        known = nodes.pop(node, None) if nodes is not None else None
        if nodes is None or known is None:
            return
        self._prefixes[known.prefix] -= 1
        if self._prefixes[known.prefix] <= 0:
            del self._prefixes[known.prefix]
        if not nodes:
            del self._meshes[mesh]


def prefix_of(source: str) -> str:
    """The network an address is counted with: its /24, or its /48 for IPv6."""
    address = ipaddress.ip_address(source)
    length = 24 if address.version == 4 else 48
    return str(ipaddress.ip_network(f"{address}/{length}", strict=False))
