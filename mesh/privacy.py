"""Who may see a request of which privacy class. Pure.

    public    anybody who serves the model
    trusted   nodes to whom the mesh's owner gave a grant of the role worker
    own       this node, and nodes that its owner lists

Each class is part of the one above it: an owner's own nodes are trusted, whoever runs the mesh.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from mesh.capability import Role
from mesh.ids import NodeId
from mesh.jobs import Privacy

_ORDER: Mapping[Privacy, int] = {"public": 0, "trusted": 1, "own": 2}


def suffices(trust: Privacy, privacy: Privacy) -> bool:
    """Whether a node of such trust may see a request of that class."""
    return _ORDER[trust] >= _ORDER[privacy]


@dataclass(frozen=True, slots=True)
class Circle:
    """Whom one node's owner lets see what."""

    node: NodeId
    own: frozenset[NodeId] = frozenset()
    """Other nodes of the same owner, as he lists them here."""
    founded: bool = False
    """The mesh has a root key, so that there are grants."""

    def proven(self, node: NodeId, granted: Collection[Role]) -> Privacy:
        """What a node may see, that has proved its id and these grants."""
        if node == self.node or node in self.own:
            return "own"
        return "trusted" if self.founded and "worker" in granted else "public"

    def possible(self, node: NodeId) -> Privacy:
        """The most that a node may turn out to be once it has proved itself."""
        worker: tuple[Role, ...] = ("worker",)
        return self.proven(node, worker)

    def refusal(self, origin: NodeId, privacy: Privacy, granted_here: Collection[Role]) -> str:
        """Why this node may not serve such a request of that gateway, in words; "" when it may.

        `granted_here`: the roles that valid grants give this node now. A gateway that is listed
        here counts as the owner's: for `own` both must list each other.
        """
        if privacy == "public" or origin == self.node or origin in self.own:
            return ""
        if privacy == "own":
            return "this node's owner does not list that gateway as one of his own"
        if self.founded and "worker" in granted_here:
            return ""
        return "this node holds no valid grant to work for this mesh"


def refuse_private(origin: NodeId, privacy: Privacy) -> str:
    """As `Circle.refusal`, of a node that nobody trusts with anything."""
    return "" if privacy == "public" else "this node is trusted with public requests only"
