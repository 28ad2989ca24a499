"""Builds what tells who may see requests of which privacy class, from settings, links and grants."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from mesh.capability import Role
from mesh.clock import Clock
from mesh.errors import RecordRejected
from mesh.identity.grants import check_grant, decode_grant
from mesh.ids import MeshId, NodeId
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


def granted_now(
    grants: Sequence[bytes], mesh_id: MeshId, own: NodeId, clock: Clock
) -> frozenset[Role]:
    """What encoded grants give this node at this moment; those that ran out give nothing."""
    found: set[Role] = set()
    for data in grants:
        try:
            grant = decode_grant(data)
            found.update(check_grant(grant, mesh_id=mesh_id, node_id=own, now_wall=clock.wall()))
        except RecordRejected:
            continue  # expired since the start; the owner hears of it by a note
    return frozenset(found)
