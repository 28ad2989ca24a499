"""Builds what tells who may see private requests, from settings, links and grants."""

from __future__ import annotations

from collections.abc import Callable, Collection

from mesh.capability import Role
from mesh.ids import NodeId
from mesh.links.pool import LinkPool
from mesh.privacy import Circle
from node.config import Config
from node.dispatch.confidants import Confidants
from node.network import is_founded


def build_confidants(
    config: Config, own: NodeId, links: LinkPool, granted_here: Callable[[], Collection[Role]]
) -> Confidants:
    """`granted_here`: the roles that this node's own grants give it now."""

    def granted_of(node: NodeId) -> Collection[Role] | None:
        link = links.get(node)
        return None if link is None else link.standing.granted

    circle = Circle(own, frozenset(config.own_nodes), is_founded(config.network))
    return Confidants(circle, granted_of, granted_here)
