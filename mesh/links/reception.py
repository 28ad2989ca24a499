"""Introduces this node to peers and decides which peers may come in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from mesh.capability import Role
from mesh.clock import Clock
from mesh.identity.boot import Boot
from mesh.identity.keys import NodeKey
from mesh.identity.trust import Trust
from mesh.ids import MeshId, NodeId
from mesh.links.admission_rule import (
    Admission,
    decide_admitter,
    decide_applicant,
    decide_link,
)
from mesh.links.applicants import Applicants
from mesh.links.handshake import Refused
from mesh.links.newcomers import Newcomers
from mesh.wire.frames import PROTOCOL_VERSIONS, GoawayCode
from mesh.wire.hello import Hello

MAX_REBUFFS = 16
"""Refusals by peers kept for people to see, the latest ones."""
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


@dataclass(frozen=True, slots=True)
class Rebuff:
    """A peer turned this node away because of who it is."""

    remote: str
    """Where it is, as a URL."""
    code: GoawayCode
    seen_at: float
    """Unix seconds."""
    text: str


def _enforce(admission: Admission) -> None:
    if admission.kind == "refused":
        raise Refused(admission.code, admission.reason)


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
        trust: Trust | None = None,
    ) -> None:
        """`trust` None: an open mesh in which nothing is revoked."""
        self.key = key
        self.mesh_id = mesh_id
        self.boot = boot
        self.trust = trust or Trust(mesh_id, wall=clock.wall)
        self.applicants = Applicants()
        self._newcomers = Newcomers()
        self.admits = False
        """Whether this node serves those who ask to be admitted."""
        self.rebuffs: deque[Rebuff] = deque(maxlen=MAX_REBUFFS)
        self.conflicts: deque[Conflict] = deque(maxlen=MAX_CONFLICTS)
        self._introduce = introduce
        self._clock = clock
        self._links_made = 0

    def own_hello(self, *, linked: bool, applies: bool = False) -> Hello:
        """This node's hello for one new link; `linked`: it holds one to that peer already.

        `applies`: the link is only to ask for admission.
        """
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
            applies=applies,
        )

    def refuse_self(self, hello: Hello) -> None:
        """Raises Refused when the peer has this node's own key."""
        if hello.public_key != self.key.public_key:
            return
        if hello.boot_id == self.boot.boot_id:
            raise Refused(GoawayCode.SELF, "that is this node itself")
        self.note_conflict(self.key.node_id, "another running node has this node's key")
        raise Refused(GoawayCode.CLONED, "this node has the same key: copy no data folders")

    def refuse_outsider(self, hello: Hello) -> None:
        """Raises Refused for a peer that may not have an ordinary link here."""
        node, trust = hello.node_id, self.trust
        credentials = trust.weigh(node, hello.grants)
        removed = trust.removed(node)
        _enforce(decide_link(credentials, removed=removed, closed=trust.closed))

    def refuse_crowd(self, hello: Hello, source: str) -> None:
        """Raises Refused for one of many strangers that come from one network at once."""
        if self.trust.weigh(hello.node_id, hello.grants).member:
            return
        if not self._newcomers.admit(hello.node_id, source, self._clock.now()):
            raise Refused(GoawayCode.BUSY, "many new nodes came from your network: try again later")

    def refuse_applicant(self, hello: Hello, source: str) -> None:
        """Raises Refused for a peer that may not even ask to be admitted."""
        self.refuse_self(hello)
        removed, room = self.trust.removed(hello.node_id), self.applicants.has_room(source)
        _enforce(decide_applicant(removed=removed, admits=self.admits, room=room))

    def refuse_admitter(self, hello: Hello) -> None:
        """Raises Refused for a node that this one dialled to be admitted and that is no member."""
        self.refuse_self(hello)
        node, trust = hello.node_id, self.trust
        _enforce(decide_admitter(trust.weigh(node, hello.grants), removed=trust.removed(node)))

    def note_rebuff(self, remote: str, code: int, text: str) -> None:
        """A peer wants nothing to do with this node: its owner should know."""
        if code in (GoawayCode.MEMBERS_ONLY, GoawayCode.REVOKED):
            self.rebuffs.append(Rebuff(remote, GoawayCode(code), self._clock.wall(), text))

    def note_conflict(self, node_id: NodeId, text: str, reporter: NodeId | None = None) -> None:
        """Remember that two nodes use one key."""
        seen = Conflict(node_id, reporter or self.key.node_id, self._clock.wall(), text)
        self.conflicts.append(seen)
