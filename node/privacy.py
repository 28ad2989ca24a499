"""Builds what tells who may see private requests, from settings, links, records and grants."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from mesh.capability import NodeRecord, Role
from mesh.identity.trust import Trust
from mesh.ids import NodeId
from mesh.links.pool import LinkPool
from mesh.privacy import Circle
from node.config import Config
from node.dispatch.confidants import Confidants
from node.network import is_founded


def build_confidants(
    config: Config,
    own: NodeId,
    *,
    links: LinkPool,
    record: Callable[[NodeId], NodeRecord | None],
    trust: Trust,
    own_grants: Callable[[], Sequence[bytes]],
) -> Confidants:
    """`record`: what is known of a node; `own_grants`: this node's own, as they are now."""

    def granted_of(node: NodeId) -> Collection[Role] | None:
        link = links.get(node)
        if link is not None:
            return link.standing.granted
        known = record(node)  # signed by the node, its grants by whoever gave them
        return None if known is None else trust.weigh(node, known.grants).granted

    circle = Circle(own, frozenset(config.own_nodes), is_founded(config.network))
    return Confidants(circle, granted_of, lambda: trust.weigh(own, own_grants()).granted)
