"""The roles this node was granted: from the settings and from a file in its data folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mesh.capability import Role
from mesh.errors import ConfigError, RecordRejected
from mesh.identity.charter import Charter, check_charter, decode_charter
from mesh.identity.grants import CLOCK_TOLERANCE, GRANTED_ROLES, encode_grant
from mesh.identity.private_file import read_private, write_private
from mesh.ids import MeshId, NodeId

GRANTS_FILE = "grants"
WHAT = "the file of grants"
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
    """Add a grant to the file, from which every start reads it. Raises StorageError."""
    lines = [line for line in read_charters(data_dir) if line != text]
    kept = "\n".join([*lines, text][-MAX_CHARTERS:]) + "\n"
    write_private(data_dir / GRANTS_FILE, kept.encode(), WHAT)


def settle_standing(
    texts: Sequence[str], *, mesh_id: MeshId, node_id: NodeId, now_wall: float
) -> Standing:
    """What the grants give. One that ran out only earns a note: the node serves on without it.

    Raises ConfigError for one that is forged, for another node or for another mesh.
    """
    roles: set[Role] = set()
    grants: list[bytes] = []
    notes: list[str] = []
    founds = False
    for text in texts:
        charter = _decode(text)
        if now_wall > charter.grant.not_after + CLOCK_TOLERANCE:
            given = ", ".join(charter.grant.roles)
            notes.append(f"the grant of {given} has expired; ask the mesh's owner for another")
            continue
        roles.update(_check(charter, mesh_id, node_id, now_wall))
        grants.append(encode_grant(charter.grant))
        founds = founds or charter.founds
    held = tuple(sorted(role for role in roles if role in GRANTED_ROLES))
    return Standing(held, tuple(grants), founds and "coordinator" in held, tuple(notes))


def take_roles(asked: Sequence[Role], standing: Standing) -> tuple[Role, ...]:
    """What the node is to the mesh: what was asked for where nothing is needed, what was granted.

    Being given the coordinator's role means taking it: nobody pastes a grant by accident.
    """
    free = [role for role in asked if role not in GRANTED_ROLES]
    return (*free, *(("coordinator",) if "coordinator" in standing.roles else ()))


def missing_grants(asked: Sequence[Role], standing: Standing) -> tuple[str, ...]:
    """What to tell the owner about roles that were asked for and not granted."""
    return tuple(
        f"role {role} needs a grant from the mesh's owner: see 'electrons mesh grant'"
        for role in asked
        if role in GRANTED_ROLES and role not in standing.roles
    )


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
