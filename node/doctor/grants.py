"""Grants: expired, missing, for somebody else, or taken back."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mesh.capability import Role
from mesh.errors import RecordRejected, StorageError, WireError
from mesh.identity.charter import decode_charter
from mesh.identity.grants import CLOCK_TOLERANCE, GRANTED_ROLES, Grant, check_grant
from mesh.identity.keys import NodeKey
from mesh.identity.private_file import read_private
from mesh.identity.revocations import Revocations, check_revocations, sum_up
from mesh.ids import MeshId, NodeId
from mesh.wire.revocation import MAX_MESSAGE, unpack_lists
from node.doctor.aside import aside
from node.doctor.finding import Finding, ok, problem, skipped, warning
from node.doctor.patient import Patient
from node.network import is_closed, resolve_network
from node.revoking import REVOCATIONS_FILE, WHAT
from node.standing import read_charters

AREA = "grants"
KEY_FILE = "node.key"
DAY = 86_400.0
SOON = DAY
"""Seconds before the end of a grant by the root key at which its owner should ask for another."""
SOON_RENEWED = DAY / 2
"""The same for grants by coordinators, who renew them long before unless they are out of reach."""
CURE = "ask the mesh's owner for a new ticket or grant"


@dataclass(frozen=True, slots=True)
class GrantFacts:
    """What the node holds, and what for."""

    texts: tuple[str, ...]
    mesh_id: MeshId
    node_id: NodeId
    wall: float
    closed: bool = False
    """The node takes members only, and so do the others."""
    asked: tuple[Role, ...] = ()
    """Roles in the settings."""


async def examine_grants(patient: Patient) -> Sequence[Finding]:
    """See `judge_grants`."""
    config = patient.config
    if config is None:
        return [skipped(AREA, "The settings do not load, so the mesh is not known")]
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
    facts = GrantFacts(texts, mesh_id, node_id, wall, is_closed(config.network), config.roles)
    return judge_grants(facts, await aside(lambda: read_revoked(patient.data_dir, mesh_id, wall)))


def read_revoked(data_dir: Path, mesh_id: MeshId, wall: float) -> Collection[str]:
    """Serials and node ids by the lists that the node keeps; none where they cannot be read."""
    revoked: list[Revocations] = []
    try:
        data = read_private(data_dir / REVOCATIONS_FILE, WHAT, most=MAX_MESSAGE)
        for given in unpack_lists(data) if data else ():
            check_revocations(given, mesh_id=mesh_id, now_wall=given.issued_at)
            revoked.append(given)
    except (StorageError, WireError, RecordRejected):
        return frozenset()  # the running node says so itself; nothing follows for its own grants
    return sum_up(revoked, wall).names


def judge_grants(facts: GrantFacts, revoked: Collection[str] = frozenset()) -> tuple[Finding, ...]:
    """Whether the mesh will believe what the node wants to be. `revoked`: serials, node ids."""
    if facts.node_id in revoked:
        what = "This node was removed from the mesh by its owner"
        return (problem(AREA, what, "ask him why; a new ticket is needed to come back"),)
    valid: dict[Role, float] = {}
    told = [_judge_one(text, facts, revoked, valid) for text in facts.texts]
    found = [
        finding for roles, finding in told if finding is not None and not _covered(roles, valid)
    ]
    held = set(valid)
    soon = sorted(role for role, until in valid.items() if until < facts.wall)
    if soon:
        what = f"The grant of {', '.join(soon)} ends soon and was not renewed"
        found.append(warning(AREA, what, f"keep the node running and linked, or {CURE}"))
    lacking = [role for role in facts.asked if role in GRANTED_ROLES and role not in held]
    if lacking:
        what = f"The settings ask for the role {', '.join(lacking)}, which nobody granted"
        found.append(warning(AREA, what, f"{CURE} of that role, or take it out of `roles`"))
    if facts.closed and not held:
        what = "This mesh takes members only, and this node holds no valid grant of it"
        cure = "join with a ticket ('electrons join'), or ask the mesh's owner for one"
        found.append(problem(AREA, what, cure))
    if held:
        return (*found, ok(AREA, f"Valid grants give {', '.join(sorted(held))}"))
    return tuple(found) or (ok(AREA, "No grant is needed to work in this mesh"),)


def _covered(roles: Collection[Role], valid: Mapping[Role, float]) -> bool:
    """Whether another grant gives all that a useless one gave."""
    return bool(roles) and set(roles) <= set(valid)


def _judge_one(
    text: str, facts: GrantFacts, revoked: Collection[str], valid: dict[Role, float]
) -> tuple[Collection[Role], Finding | None]:
    """What one grant would give, and its trouble. Valid roles get the time to begin to worry."""
    try:
        grant = decode_charter(text).grant
    except RecordRejected as error:
        return (), problem(AREA, "A grant cannot be read", f"paste it again, or {CURE}", error)
    trouble = _trouble(grant, facts, revoked)
    if trouble is None:
        worry = grant.not_after - (SOON if grant.issuer is None else SOON_RENEWED)
        for role in grant.roles:
            valid[role] = max(valid.get(role, worry), worry)
    return grant.roles, trouble


def _trouble(grant: Grant, facts: GrantFacts, revoked: Collection[str]) -> Finding | None:
    roles = ", ".join(grant.roles)
    if grant.serial in revoked:
        return problem(AREA, f"The grant of {roles} was revoked", f"{CURE}, if it was an error")
    if grant.mesh_id != facts.mesh_id:
        what = f"The grant of {roles} is for another mesh"
        return problem(AREA, what, f"start with --network {grant.mesh_id}, or {CURE}")
    late = facts.wall - grant.not_after
    if late > CLOCK_TOLERANCE:
        ago = f"{late / DAY:.0f} days" if late > 2 * DAY else f"{late / 3600:.0f} hours"
        return problem(AREA, f"The grant of {roles} expired {ago} ago", CURE)
    try:
        check_grant(
            grant,
            mesh_id=facts.mesh_id,
            node_id=facts.node_id,
            now_wall=facts.wall,
            revoked=revoked,
        )
    except RecordRejected as error:
        return problem(AREA, f"The grant of {roles} is not believed", CURE, error)
    return None
