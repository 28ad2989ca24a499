"""Who serves a model, in a form from which a few can be drawn without looking at all."""

from __future__ import annotations

from random import Random

from mesh.ids import NodeId
from mesh.ports import Provider


class Roll:
    """Providers by node and by number. Every call but `all` costs the same for any length."""

    __slots__ = ("_listed", "_places")

    def __init__(self) -> None:
        self._listed: list[Provider] = []
        self._places: dict[NodeId, int] = {}

    def __len__(self) -> int:
        return len(self._listed)

    def put(self, node: NodeId, provider: Provider) -> None:
        """Enter a node, or what it is now."""
        place = self._places.get(node)
        if place is None:
            self._places[node] = len(self._listed)
            self._listed.append(provider)
        else:
            self._listed[place] = provider

    def remove(self, node: NodeId) -> None:
        """Strike a node. Raises KeyError when it is not there."""
        place = self._places.pop(node)
        last = self._listed.pop()
        if place < len(self._listed):
            self._listed[place] = last
            self._places[last.peer.record.node_id] = place

    def get(self, node: NodeId) -> Provider | None:
        """What a node offers; None when it is not there."""
        place = self._places.get(node)
        return None if place is None else self._listed[place]

    def all(self) -> tuple[Provider, ...]:
        """Everybody; copies them."""
        return tuple(self._listed)

    def draw(self, most: int, rng: Random) -> list[Provider]:
        """At most so many, each as likely as any other; all of them when they are no more.

        Drawn with replacement and listed once, so it may be a few less: much cheaper than exact.
        """
        listed, random = self._listed, rng.random
        count = len(listed)
        if count <= most:
            return list(listed)
        return [listed[place] for place in {int(random() * count) for _ in range(most)}]
