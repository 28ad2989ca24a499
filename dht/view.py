"""What this node knows of others, indexed for the request path."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from random import Random

from dht.roll import Roll
from mesh.capability import NodeState, Peer
from mesh.clock import Clock
from mesh.ids import NodeId
from mesh.ports import Provider

LATELY = 600.0
"""Seconds for which a model that nobody serves any more counts as seen lately."""
MAX_SEEN = 4_096
"""Names of models remembered after their last provider went."""
_SERVING: frozenset[NodeState] = frozenset({"ready", "degraded"})


class DirectoryView:
    """Implements `mesh.ports.View`. Reading costs no more than the answer is long."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._peers: dict[NodeId, Peer] = {}
        self._providers: dict[str, Roll] = {}
        self._seen: OrderedDict[str, float] = OrderedDict()

    def peers(self) -> Sequence[Peer]:
        return tuple(self._peers.values())

    def providers(self, model: str) -> Sequence[Provider]:
        found = self._providers.get(model)
        return () if found is None else found.all()

    def draw(self, model: str, most: int, rng: Random) -> tuple[Sequence[Provider], int]:
        found = self._providers.get(model)
        return ((), 0) if found is None else (found.draw(most, rng), len(found))

    def provider(self, model: str, node: NodeId) -> Provider | None:
        found = self._providers.get(model)
        return None if found is None else found.get(node)

    def models(self) -> Sequence[Provider]:
        return tuple(each for found in self._providers.values() for each in found.all())

    def seen_lately(self, model: str) -> bool:
        if model in self._providers:
            return True
        seen = self._seen.get(model)
        return seen is not None and self._clock.now() - seen <= LATELY

    def peer(self, node: NodeId) -> Peer | None:
        """One node, None when it is not to be seen."""
        return self._peers.get(node)

    def update(self, node: NodeId, peer: Peer | None) -> None:
        """For the directory: a node is to be seen so from now on, or not at all."""
        old = self._peers.pop(node, None) if peer is None else self._peers.get(node)
        if peer is not None:
            self._peers[node] = peer
        before = _served(old)
        after = _served(peer)
        for name in before.keys() - after.keys():
            self._remove(name, node)
        for name, provider in after.items():
            roll = self._providers.get(name)
            if roll is None:
                roll = self._providers[name] = Roll()
            roll.put(node, provider)

    def _remove(self, name: str, node: NodeId) -> None:
        found = self._providers[name]
        found.remove(node)
        if found:
            return
        del self._providers[name]
        self._seen[name] = self._clock.now()
        self._seen.move_to_end(name)
        while len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)


def _served(peer: Peer | None) -> dict[str, Provider]:
    if peer is None or peer.record.state not in _SERVING:
        return {}
    return {served.ref.name: Provider(peer, served) for served in peer.record.models}
