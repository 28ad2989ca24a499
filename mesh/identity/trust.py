"""Who takes part in this mesh, as far as this node knows: its policy, grants, what is revoked."""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from mesh.capability import NodeRecord, Role
from mesh.errors import RecordRejected
from mesh.identity.grants import CLOCK_TOLERANCE, Grant, check_grant, decode_grant
from mesh.identity.revocations import Sentence
from mesh.ids import MeshId, NodeId

MAX_REMEMBERED = 8192
"""Grants whose signatures were checked lately, good and bad: about 0.5 KiB each."""
REMOVED = "this node was removed from the mesh"
MEMBERS_ONLY = "this mesh takes members only: ask for a ticket"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a node's grants come to now."""

    granted: frozenset[Role] = frozenset()
    until: float = math.inf
    """Unix seconds, tolerance included, at which the first of the valid grants ends."""
    rejected: tuple[str, ...] = ()
    """Why grants were not believed, for people."""
    free: frozenset[Role] = frozenset()
    """Roles that need no grant in this mesh although they do elsewhere."""

    @property
    def member(self) -> bool:
        """Whether any grant is valid."""
        return bool(self.granted)


@dataclass(frozen=True, slots=True)
class _Checked:
    """What does not change about a grant: signatures, end, and the names by which it is revoked."""

    roles: tuple[Role, ...]
    until: float
    names: frozenset[str]
    fault: str = ""


class Trust:
    """One per node. `revoke` and `revoke_here` change it; whoever watches is told."""

    def __init__(
        self,
        mesh_id: MeshId,
        *,
        wall: Callable[[], float],
        closed: bool = False,
        free: Collection[Role] = (),
    ) -> None:
        """`closed`: only nodes with a valid grant are taken. `wall` gives Unix seconds. `free` are
        roles that need no grant here: without a root key nobody could give one.
        """
        self.mesh_id = mesh_id
        self.free = frozenset(free)
        self.closed = closed
        self.sentence = Sentence()
        self._here: frozenset[str] = frozenset()
        self.wall = wall
        self._checked: OrderedDict[bytes, _Checked] = OrderedDict()
        self._watchers: list[Callable[[], None]] = []

    def watch(self, watcher: Callable[[], None]) -> None:
        """Be told whenever something is revoked."""
        self._watchers.append(watcher)

    def revoke(self, sentence: Sentence) -> None:
        """Take over what the lists of revocations come to."""
        if sentence != self.sentence:
            self.sentence = sentence
            self._tell()

    def revoke_here(self, serials: Collection[str]) -> None:
        """Believe these grants no more on this node, whatever the lists say."""
        if frozenset(serials) != self._here:
            self._here = frozenset(serials)
            self._tell()

    @property
    def revoked(self) -> frozenset[str]:
        """Serials, and ids of removed nodes."""
        return self.sentence.names | self._here

    def removed(self, node: NodeId) -> bool:
        """Whether the node itself, not only a grant of it, was revoked."""
        return node in self.sentence.nodes

    def weigh(self, node: NodeId, grants: Sequence[bytes]) -> Credentials:
        """What encoded grants give a node now. Signatures are checked once and remembered."""
        granted: set[Role] = set()
        rejected: list[str] = []
        until, now, revoked = math.inf, self.wall(), self.revoked
        for data in grants:
            checked = self._check(node, data)
            fault = checked.fault or _fault_now(checked, now, revoked)
            if fault:
                rejected.append(fault)
            else:
                granted.update(checked.roles)
                until = min(until, checked.until)
        return Credentials(frozenset(granted), until, tuple(rejected), self.free)

    def vet(self, node: NodeId, grants: Sequence[bytes]) -> None:
        """Raises RecordRejected for a node that takes no part here: nothing it says is believed."""
        if self.removed(node):
            raise RecordRejected(REMOVED)
        if self.closed and not (credentials := self.weigh(node, grants)).member:
            raise RecordRejected("; ".join(credentials.rejected) or MEMBERS_ONLY)

    def vet_record(self, record: NodeRecord) -> None:
        """The same for a record of which the signature was checked."""
        self.vet(record.node_id, record.grants)

    def _check(self, node: NodeId, data: bytes) -> _Checked:
        key = hashlib.sha256(node.encode() + data).digest()
        checked = self._checked.get(key)
        if checked is None:
            checked = self._checked[key] = _examine(node, data, self.mesh_id)
            while len(self._checked) > MAX_REMEMBERED:
                self._checked.popitem(last=False)
        self._checked.move_to_end(key)
        return checked

    def _tell(self) -> None:
        for watcher in self._watchers:
            watcher()


def _examine(node: NodeId, data: bytes, mesh_id: MeshId) -> _Checked:
    """Everything about a grant that neither time nor revocation changes."""
    try:
        grant = decode_grant(data)
        roles = check_grant(grant, mesh_id=mesh_id, node_id=node, now_wall=-math.inf)
    except RecordRejected as error:
        return _Checked((), 0.0, frozenset(), str(error))
    chain: list[Grant] = [grant] + ([grant.issuer] if grant.issuer is not None else [])
    names = frozenset(name for each in chain for name in (each.serial, each.node_id))
    return _Checked(roles, min(each.not_after for each in chain) + CLOCK_TOLERANCE, names)


def _fault_now(checked: _Checked, now: float, revoked: frozenset[str]) -> str:
    if now > checked.until:
        return "the grant has expired"
    return "the grant was revoked" if checked.names & revoked else ""
