"""What this node says of itself: signed anew with every change, so that the newest word counts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from mesh.capability import NodeRecord, NodeState, Resources, Role, Runnable, ServedModel
from mesh.clock import Clock
from mesh.identity.keys import NodeKey
from mesh.ids import MeshId, NodeId
from mesh.wire.records import MAX_RECORD_GRANTS, MAX_STATE_REASON, SignedNode, fit_node

log = logging.getLogger(__name__)

NO_RESOURCES = Resources()


class OwnRecord:
    """The record last signed, and what it is meant to say."""

    def __init__(self, *, key: NodeKey, mesh_id: MeshId, boot: int, clock: Clock) -> None:
        self._key = key
        self._mesh_id = mesh_id
        self._clock = clock
        self._seq = boot << 32
        self._outdone = 0
        self.signed: SignedNode | None = None
        self.wanted: NodeRecord | None = None
        """All of it; what is signed may lack what did not fit."""

    @property
    def node_id(self) -> NodeId:
        return self._key.node_id

    @property
    def record(self) -> NodeRecord | None:
        """As last signed."""
        return None if self.signed is None else self.signed.record

    def draft(
        self,
        *,
        addresses: Sequence[str],
        roles: Sequence[Role],
        state: NodeState,
        models: Sequence[ServedModel],
        version: str,
        reason: str = "",
        resources: Resources = NO_RESOURCES,
        runnable: Sequence[Runnable] = (),
        grants: Sequence[bytes] = (),
    ) -> NodeRecord:
        """A record without seq and times: those come with the signature."""
        return NodeRecord(
            node_id=self._key.node_id,
            seq=0,
            issued_at=0.0,
            ttl=0.0,
            addresses=tuple(addresses),
            roles=tuple(roles),
            state=state,
            models=tuple(models),
            version=version,
            reason=reason[:MAX_STATE_REASON],
            resources=resources,
            runnable=tuple(runnable),
            grants=tuple(grants)[:MAX_RECORD_GRANTS],
        )

    def sign(self, record: NodeRecord, ttl: float) -> SignedNode:
        """Sign the next one, with a higher seq than any before."""
        self._seq += 1
        stamped = replace(record, seq=self._seq, issued_at=self._clock.wall(), ttl=ttl)
        self.signed = fit_node(self._key, self._mesh_id, stamped)
        left_out = len(record.models) - len(self.signed.record.models)
        if left_out:
            log.warning("%d models do not fit into the record; look-ups find them", left_out)
        return self.signed

    def outdone(self, seq: int) -> None:
        """A newer record of this node is about: a copy of it runs elsewhere.

        Outbidding it would set two copies at each other through everybody's directories; links
        decide which of two boots may stay.
        """
        if seq > self._outdone:
            self._outdone = seq
            log.warning("another running node signs with this node's key: copy no data folders")
