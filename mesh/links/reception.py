"""Introduces this node to peers and decides which peers may come in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass

from mesh.capability import Role
from mesh.clock import Clock
from mesh.identity.boot import Boot
from mesh.identity.keys import NodeKey
from mesh.ids import MeshId, NodeId
from mesh.links.handshake import Refused
from mesh.wire.frames import PROTOCOL_VERSIONS, GoawayCode
from mesh.wire.hello import Hello

MAX_CONFLICTS = 32
"""Identity conflicts kept for people to see, the latest ones."""


@dataclass(frozen=True, slots=True)
class Introduction:
    """What a node says of itself in Hello beyond who it is; asked for at every handshake."""

    roles: tuple[Role, ...] = ()
    grants: tuple[bytes, ...] = ()
    """Encoded grants for this node."""
    addresses: tuple[str, ...] = ()
    """URLs under which it accepts links."""
    software: str = ""


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two running nodes use one key, as somebody noticed."""

    node_id: NodeId
    reporter: NodeId
    """Who noticed: this node or a peer."""
    seen_at: float
    """Unix seconds."""
    text: str


class Reception:
    """Knows who this node is and keeps the conflicts about it and its peers."""

    def __init__(
        self,
        *,
        key: NodeKey,
        mesh_id: MeshId,
        boot: Boot,
        introduce: Callable[[], Introduction],
        clock: Clock,
    ) -> None:
        self.key = key
        self.mesh_id = mesh_id
        self.boot = boot
        self.revoked: Collection[str] = frozenset()
        self.conflicts: deque[Conflict] = deque(maxlen=MAX_CONFLICTS)
        self._introduce = introduce
        self._clock = clock
        self._links_made = 0

    def own_hello(self, *, linked: bool) -> Hello:
        """This node's hello for one new link; `linked`: it holds one to that peer already."""
        said = self._introduce()
        self._links_made += 1
        return Hello(
            mesh_id=self.mesh_id,
            public_key=self.key.public_key,
            boot_counter=self.boot.counter,
            boot_id=self.boot.boot_id,
            versions=PROTOCOL_VERSIONS,
            roles=said.roles,
            grants=said.grants,
            addresses=said.addresses,
            software=said.software,
            link_number=self._links_made,
            linked=linked,
        )

    def refuse_self(self, hello: Hello) -> None:
        """Raises Refused when the peer has this node's own key."""
        if hello.public_key != self.key.public_key:
            return
        if hello.boot_id == self.boot.boot_id:
            raise Refused(GoawayCode.SELF, "that is this node itself")
        self.note_conflict(self.key.node_id, "another running node has this node's key")
        raise Refused(GoawayCode.CLONED, "this node has the same key: copy no data folders")

    def note_conflict(self, node_id: NodeId, text: str, reporter: NodeId | None = None) -> None:
        """Remember that two nodes use one key."""
        seen = Conflict(node_id, reporter or self.key.node_id, self._clock.wall(), text)
        self.conflicts.append(seen)
