"""What this node was granted: from the settings, from a file in its data folder, while it runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from mesh.capability import Role
from mesh.errors import ConfigError, RecordRejected
from mesh.identity.charter import Charter, check_charter, decode_charter
from mesh.identity.grants import (
    ALL_ROLES,
    CLOCK_TOLERANCE,
    GRANTED_ROLES,
    Grant,
    decode_grant,
    encode_grant,
)
from mesh.identity.private_file import read_private, write_private
from mesh.identity.trust import Trust
from mesh.ids import MeshId, NodeId
from node.network import is_founded

GRANTS_FILE = "grants"
WHAT = "the file of grants"
FREE_WITHOUT_ROOT: frozenset[Role] = frozenset({"relay"})
"""Roles that need no grant in a mesh known by name only, where nobody could give one: a relay sees
what any stranger on the way sees."""
MAX_CHARTERS = 16
"""Grants one node holds; the newest are kept."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the node may be beyond what everybody may."""

    roles: tuple[Role, ...] = ()
    grants: tuple[bytes, ...] = ()
    """Encoded, to be shown to peers."""
    founds: bool = False
    notes: tuple[str, ...] = ()
    """What the owner should know: expired grants."""


def read_charters(data_dir: Path) -> tuple[str, ...]:
    """The lines of the grants file. Raises StorageError."""
    data = read_private(data_dir / GRANTS_FILE, WHAT) or b""
    return tuple(line for line in data.decode("utf-8", "replace").splitlines() if line.strip())


def keep_charter(data_dir: Path, text: str) -> None:
    """Add a grant to the file, from which every start reads it. Raises StorageError.

    Those that it makes superfluous are left out.
    """
    lines = [line for line in read_charters(data_dir) if not _supersedes(text, line)]
    kept = "\n".join([*lines, text][-MAX_CHARTERS:]) + "\n"
    write_private(data_dir / GRANTS_FILE, kept.encode(), WHAT)


def _supersedes(new: str, old: str) -> bool:
    """Whether a grant is as good as an older one, and lives as long."""
    if new == old:
        return True
    try:
        ours, theirs = decode_charter(new), decode_charter(old)
    except RecordRejected:
        return False
    same = (ours.grant.mesh_id, ours.grant.node_id) == (theirs.grant.mesh_id, theirs.grant.node_id)
    covered = set(theirs.grant.roles) <= set(ours.grant.roles)
    longer = ours.grant.not_after >= theirs.grant.not_after
    return same and covered and longer and (ours.founds or not theirs.founds)


def settle_standing(
    texts: Sequence[str],
    *,
    mesh_id: MeshId,
    node_id: NodeId,
    now_wall: float,
    revoked: Collection[str] = frozenset(),
) -> Standing:
    """What the grants give. One that ran out, or was revoked, only earns a note: the node serves
    on without it. `revoked` as for `check_grant`.

    Raises ConfigError for one that is forged, for another node or for another mesh.
    """
    charters = [_decode(text) for text in texts]
    expired = [each.grant for each in charters if _ended(each.grant, now_wall)]
    void = [each.grant for each in charters if _revoked(each.grant, revoked)]
    valid = [each for each in charters if each.grant not in (*expired, *void)]
    roles = {role for each in valid for role in _check(each, mesh_id, node_id, now_wall)}
    held = tuple(sorted(role for role in roles if role in GRANTED_ROLES))
    founds = any(each.founds for each in valid) and "coordinator" in held
    grants = tuple(encode_grant(grant) for grant in _worth_showing([e.grant for e in valid]))
    notes = (*_lost("has expired", expired, roles), *_lost("was revoked", void, roles))
    return Standing(held, grants, founds, notes)


def _lost(how: str, grants: Sequence[Grant], left: Collection[Role]) -> list[str]:
    lost = {role for grant in grants for role in grant.roles if role not in left}
    return [f"the grant of {role} {how}; ask the mesh's owner for another" for role in sorted(lost)]


class OwnStanding:
    """What this node may be now: grants may be renewed, and given, while it runs."""

    def __init__(
        self,
        *,
        data_dir: Path,
        given: Sequence[str],
        mesh_id: MeshId,
        node_id: NodeId,
        trust: Trust,
        wall: Callable[[], float],
    ) -> None:
        """`given` are grants from the settings; `trust` tells which were revoked.

        Raises StorageError or ConfigError.
        """
        self._trust = trust
        self._data_dir = data_dir
        self._given = tuple(given)
        self._mesh_id = mesh_id
        self._node_id = node_id
        self._wall = wall
        self._watchers: list[Callable[[], None]] = []
        self._mourners: list[Callable[[], None]] = []
        self.current = self._settle()
        trust.watch(self._look_again)

    @property
    def grants(self) -> tuple[bytes, ...]:
        """Encoded, to be shown to peers: the best first."""
        return self.current.grants

    @property
    def ends(self) -> float:
        """Unix seconds at which the grant that is shown first ends; 0.0 when there is none."""
        return decode_grant(self.grants[0]).not_after if self.grants else 0.0

    def accept(self, text: str) -> Standing:
        """Keep a grant and show it from now on. Raises ConfigError when it is not for this node."""
        _check(_decode(text), self._mesh_id, self._node_id, self._wall())
        keep_charter(self._data_dir, text)
        self._change()
        return self.current

    def on_loss(self, mourner: Callable[[], None]) -> None:
        """Be told when a grant was revoked without which this node is less than it was."""
        self._mourners.append(mourner)

    def watch(self, watcher: Callable[[], None]) -> None:
        """Be told when the grants that are shown have changed."""
        self._watchers.append(watcher)

    def _look_again(self) -> None:
        """Something was revoked somewhere."""
        own = (decode_grant(data) for data in self.current.grants)
        if any(_revoked(grant, self._trust.revoked) for grant in own):
            self._change()
            for mourner in self._mourners:
                mourner()

    def _change(self) -> None:
        self.current = self._settle()
        for watcher in self._watchers:
            watcher()

    def _settle(self) -> Standing:
        texts = (*read_charters(self._data_dir), *self._given)
        return settle_standing(
            texts,
            mesh_id=self._mesh_id,
            node_id=self._node_id,
            now_wall=self._wall(),
            revoked=self._trust.revoked,
        )


def take_roles(
    asked: Sequence[Role], standing: Standing, free: Collection[Role] = ()
) -> tuple[Role, ...]:
    """What the node is to the mesh: what was asked for where nothing is needed, what was granted.

    Being given the role of a coordinator, relay or admin means taking it: nobody pastes a grant by
    accident. `free` roles need no grant in this mesh.
    """
    taken = [role for role in asked if role not in GRANTED_ROLES or role in free]
    return (*taken, *(role for role in ALL_ROLES if role in standing.roles))


def free_roles(network: str) -> frozenset[Role]:
    """Roles of trust that need no grant in the mesh of this name."""
    return frozenset() if is_founded(network) else FREE_WITHOUT_ROOT


def missing_grants(
    asked: Sequence[Role], standing: Standing, free: Collection[Role] = ()
) -> tuple[str, ...]:
    """What to tell the owner about roles that were asked for and not granted."""
    return tuple(
        f"role {role} needs a grant from the mesh's owner: see 'electrons mesh grant'"
        for role in asked
        if role in GRANTED_ROLES and role not in standing.roles and role not in free
    )


def _chain(grant: Grant) -> tuple[Grant, ...]:
    return (grant,) if grant.issuer is None else (grant, grant.issuer)


def _ended(grant: Grant, now_wall: float) -> bool:
    return any(now_wall > each.not_after + CLOCK_TOLERANCE for each in _chain(grant))


def _revoked(grant: Grant, revoked: Collection[str]) -> bool:
    return any(name in revoked for each in _chain(grant) for name in (each.serial, each.node_id))


def _worth_showing(grants: Sequence[Grant]) -> list[Grant]:
    """Those that say something the others do not, the longest-lived first."""
    shown: list[Grant] = []
    for grant in sorted(grants, key=lambda each: (-each.not_after, each.serial)):
        if not any(set(grant.roles) <= set(other.roles) for other in shown):
            shown.append(grant)
    return shown


def _decode(text: str) -> Charter:
    try:
        return decode_charter(text)
    except RecordRejected as error:
        raise ConfigError("--grant", text[:40], str(error)) from None


def _check(charter: Charter, mesh_id: MeshId, node_id: NodeId, now_wall: float) -> tuple[Role, ...]:
    try:
        return check_charter(charter, mesh_id=mesh_id, node_id=node_id, now_wall=now_wall)
    except RecordRejected as error:
        grant = charter.grant
        hint = f"start with --network {grant.mesh_id}" if grant.mesh_id != mesh_id else ""
        hint = hint or f"this node is {node_id}"
        raise ConfigError("--grant", f"for {grant.node_id[:8]}", f"{error}; {hint}") from None
