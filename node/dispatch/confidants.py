"""What this node's links prove, weighed by its owner's word."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Self

from mesh.capability import Role
from mesh.errors import LinkError
from mesh.ids import NodeId
from mesh.jobs import Privacy
from mesh.privacy import Circle, suffices

GrantedOf = Callable[[NodeId], Collection[Role] | None]
"""Roles that a node's valid grants give it, by its link or its record; None: nothing is known."""


class Untrusted(LinkError):
    """A node has proved less than a request asks of whoever sees it; nothing was sent to it."""


class Confidants:
    """Answers for the gateway (whom to offer what) and for the worker (whom to serve what)."""

    def __init__(
        self, circle: Circle, granted_of: GrantedOf, granted_here: Callable[[], Collection[Role]]
    ) -> None:
        """`granted_here`: the roles that this node's own grants give it now."""
        self._circle = circle
        self._granted_of = granted_of
        self._granted_here = granted_here

    @classmethod
    def of_nobody(cls, node: NodeId) -> Self:
        """Nobody but this node itself is trusted with anything."""
        return cls(Circle(node), lambda _: None, tuple)

    def may_see(self, node: NodeId, privacy: Privacy) -> bool:
        """Whether a node is a candidate: it has proved enough, or may do so when it is dialled."""
        return suffices(self.of(node), privacy)

    def of(self, node: NodeId) -> Privacy:
        """The strictest class that a node may see, as far as is known now."""
        granted = self._granted_of(node)
        if granted is None:
            return self._circle.possible(node)
        return self._circle.proven(node, granted)

    def check(self, node: NodeId, privacy: Privacy) -> None:
        """Before a request goes out over the link to a node. Raises Untrusted."""
        if privacy == "public":
            return
        granted = self._granted_of(node) or ()
        if not suffices(self._circle.proven(node, granted), privacy):
            raise Untrusted(f"{node[:8]} has not proved that it may see a '{privacy}' request")

    def refusal(self, origin: NodeId, privacy: Privacy) -> str:
        """Why this node may not serve a gateway's request; "" when it may."""
        return self._circle.refusal(origin, privacy, self._granted_here())
