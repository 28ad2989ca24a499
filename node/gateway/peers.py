"""The nodes this node knows, as GET /api/peers shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mesh.capability import Peer
from node.gateway.models import rtt_ms


def peer_list(peers: Sequence[Peer]) -> dict[str, Any]:
    """The body of GET /api/peers; the view bounds how many there are."""
    return {"peers": [peer_object(peer) for peer in peers]}


def peer_object(peer: Peer) -> dict[str, Any]:
    """One peer as this node sees it now."""
    record = peer.record
    return {
        "node_id": record.node_id,
        "addresses": list(record.addresses),
        "roles": list(record.roles),
        "models": [model.ref.name for model in record.models],
        "state": record.state,
        "reason": record.reason,
        "version": record.version,
        "linked": peer.linked,
        "rtt_ms": rtt_ms(peer),
        "in_flight": peer.load.in_flight,
        "queued": peer.load.queued,
        "slots": peer.load.slots,
    }
