"""Grants: expired, missing, for somebody else, or taken back."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mesh.capability import Role
from mesh.errors import RecordRejected, StorageError
from mesh.identity.charter import decode_charter
from mesh.identity.grants import CLOCK_TOLERANCE, GRANTED_ROLES, check_grant
from mesh.identity.keys import NodeKey
from mesh.ids import MeshId, NodeId
from node.doctor.aside import aside
from node.doctor.finding import Finding, ok, problem, skipped, warning
from node.doctor.patient import Patient
from node.network import is_founded, resolve_network
from node.standing import read_charters

AREA = "grants"
KEY_FILE = "node.key"
SOON = 86_400.0
"""Seconds before its end at which a grant that is not renewed gets a word."""
CURE = "ask the mesh's owner for a new ticket or grant"


@dataclass(frozen=True, slots=True)
class GrantFacts:
    """What the node holds, and what for."""

    texts: tuple[str, ...]
    mesh_id: MeshId
    node_id: NodeId
    wall: float
    founded: bool = False
    asked: tuple[Role, ...] = ()
    """Roles in the settings."""


async def examine_grants(patient: Patient) -> Sequence[Finding]:
    """See `judge_grants`."""
    config = patient.config
    if config is None:
        return [skipped(AREA, "The settings do not load, so the mesh is not known")]
    founded = is_founded(config.network)
    try:
        texts = await aside(lambda: (*read_charters(patient.data_dir), *config.grants))
        key = await aside(lambda: NodeKey.load(patient.data_dir / KEY_FILE))
    except StorageError as error:
        cure = "mend the file's owner and mode (chmod 600), or restore it from a copy"
        return [problem(AREA, "The node's key or grants cannot be read", cure, error)]
    if key is None and not texts:
        return [skipped(AREA, "The node was never started here, so nobody can have granted it any")]
    node_id = key.node_id if key is not None else NodeId("")
    mesh_id, wall = resolve_network(config.network), patient.instruments.wall()
    return judge_grants(GrantFacts(texts, mesh_id, node_id, wall, founded, config.roles))


def judge_grants(facts: GrantFacts, revoked: Collection[str] = frozenset()) -> tuple[Finding, ...]:
    """Whether the mesh will believe what the node wants to be. `revoked` holds serials."""
    held: set[Role] = set()
    found: list[Finding] = []
    for text in facts.texts:
        trouble = _judge_one(text, facts, revoked, held)
        if trouble is not None:
            found.append(trouble)
    lacking = [role for role in facts.asked if role in GRANTED_ROLES and role not in held]
    if lacking:
        what = f"The settings ask for the role {', '.join(lacking)}, which nobody granted"
        found.append(warning(AREA, what, f"{CURE} of that role, or take it out of `roles`"))
    if facts.founded and not held:
        what = "This mesh has an owner, and this node holds no valid grant of it"
        found.append(warning(AREA, what, f"{CURE}: a closed mesh lets no stranger in"))
    if held:
        return (*found, ok(AREA, f"Valid grants give {', '.join(sorted(held))}"))
    return tuple(found) or (ok(AREA, "An open mesh: no grant is needed to work in it"),)


def _judge_one(
    text: str, facts: GrantFacts, revoked: Collection[str], held: set[Role]
) -> Finding | None:
    """The trouble with one grant, if any; its roles are added to `held` when it is valid."""
    try:
        grant = decode_charter(text).grant
    except RecordRejected as error:
        return problem(AREA, "A grant cannot be read", f"paste it again, or {CURE}", error)
    roles = ", ".join(grant.roles)
    if grant.serial in revoked:
        return problem(AREA, f"The grant of {roles} was revoked", f"{CURE}, if it was an error")
    if grant.mesh_id != facts.mesh_id:
        what = f"The grant of {roles} is for another mesh"
        return problem(AREA, what, f"start with --network {grant.mesh_id}, or {CURE}")
    left = grant.not_after - facts.wall
    if left < -CLOCK_TOLERANCE:
        ago = f"{-left / 86_400:.0f} days" if -left > 2 * 86_400 else f"{-left / 3600:.0f} hours"
        return problem(AREA, f"The grant of {roles} expired {ago} ago", CURE)
    try:
        held.update(
            check_grant(
                grant,
                mesh_id=facts.mesh_id,
                node_id=facts.node_id,
                now_wall=facts.wall,
                revoked=revoked,
            )
        )
    except RecordRejected as error:
        return problem(AREA, f"The grant of {roles} is not believed", CURE, error)
    if left < SOON:
        what = f"The grant of {roles} ends within {max(0.0, left) / 3600:.0f} hours"
        return warning(AREA, what, "keep the node running so that it is renewed, or " + CURE)
    return None
