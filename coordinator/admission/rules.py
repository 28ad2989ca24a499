"""What may be asked for and given. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from mesh.admission import (
    MAX_TICKET_SECONDS,
    AdmissionRefusal,
    AdmissionRefused,
    Invite,
    Member,
)
from mesh.capability import Role
from mesh.identity.grants import (
    ADMINS_GIVE,
    ALL_ROLES,
    COORDINATORS_GIVE,
    Grant,
    grantable_roles,
)
from mesh.ids import MeshId, NodeId, hash_key
from mesh.wire.admission_commands import MAX_NOTE, MAX_USES

DAY = 86_400.0
GRANT_SECONDS = 7 * DAY
"""Life of a grant that a coordinator signs: what a stolen key is worth where no list arrives."""
MIN_TICKET_SECONDS = 1.0
MEMBER_REVOKED = 400 * DAY
"""How long a member stays revoked: longer than any grant that is made without `--days`."""
OTHER_REVOKED = 3660 * DAY
"""How long anybody else does: the root may have signed for ten years."""
ONLY_ROOT = (
    "only the root key makes an admin: 'electrons mesh grant FOLDER NODE --role admin', where "
    "FOLDER holds the root key"
)
NEEDS_ADMIN = (
    "inviting a coordinator takes a coordinator that is granted admin as well: "
    "'electrons mesh grant FOLDER NODE --role coordinator --role admin' with the root key's FOLDER"
)


def check_invitation(
    roles: Sequence[str], uses: int, seconds: float, note: str, *, admin: bool
) -> tuple[str, ...]:
    """The roles in the order they are kept. Raises AdmissionRefused, naming what is wrong."""
    unknown = sorted(set(roles) - set(ALL_ROLES))
    if unknown or not roles:
        allowed = ", ".join(sorted(ADMINS_GIVE))
        raise AdmissionRefused("wrong", f"a ticket gives one or more of {allowed}")
    if "admin" in roles:
        raise AdmissionRefused("not_allowed", ONLY_ROOT)
    if not set(roles) <= (ADMINS_GIVE if admin else COORDINATORS_GIVE):
        raise AdmissionRefused("not_allowed", NEEDS_ADMIN)
    if not 1 <= uses <= MAX_USES:
        raise AdmissionRefused("wrong", f"a ticket is for 1 to {MAX_USES} nodes")
    if not MIN_TICKET_SECONDS <= seconds <= MAX_TICKET_SECONDS:
        days = int(MAX_TICKET_SECONDS / DAY)
        raise AdmissionRefused("wrong", f"a ticket is good for 1 second to {days} days")
    if len(note) > MAX_NOTE or not note.isprintable():
        raise AdmissionRefused("wrong", f"a note has at most {MAX_NOTE} printable characters")
    return tuple(sorted(set(roles)))


def refuse_early(
    invite: Invite | None, *, redeemed: bool, now_wall: float
) -> AdmissionRefusal | None:
    """Why a ticket is refused without asking the group: a stranger must not fill the log.

    What passes here is decided by the group, which may know more.
    """
    if invite is None:
        return "unknown"
    if now_wall > invite.expires:
        return "expired"
    return "used_up" if invite.used >= invite.uses and not redeemed else None


def is_issuer(grant: Grant | None, mesh_id: MeshId) -> bool:
    """Whether its holder may sign grants: a coordinator by the root key's own signature."""
    signed_by_root = grant is not None and hash_key(grant.issuer_key) == mesh_id
    return signed_by_root and grant is not None and "coordinator" in grant.roles


def roles_to_grant(wanted: Collection[str], issuer: Collection[Role]) -> tuple[Role, ...]:
    """Every role that was admitted, in the vocabulary's order; none where one cannot be given."""
    if not set(wanted) <= grantable_roles(issuer):
        return ()
    return tuple(role for role in ALL_ROLES if role in wanted)


def grant_end(now_wall: float, seconds: float, issuer_end: float) -> float:
    """A grant ends with its issuer's own at the latest."""
    return min(now_wall + seconds, issuer_end)


def revoked_until(member: Member | None, now_wall: float) -> float:
    """Until when a node must stay on the list: longer than any grant it can hold."""
    return now_wall + (OTHER_REVOKED if member is None else MEMBER_REVOKED)


def single(found: Sequence[Invite], short: str) -> Invite:
    """The one ticket that is meant. Raises AdmissionRefused."""
    if not found or len(short) < 4:
        raise AdmissionRefused("unknown", f"there is no ticket {short[:64]!r}")
    if len(found) > 1:
        raise AdmissionRefused("wrong", f"several tickets start with {short!r}: give more digits")
    return found[0]


def may_revoke(own: NodeId, node: NodeId, voters: Collection[NodeId]) -> None:
    """Raises AdmissionRefused where the group could decide nothing after it.

    The deciding coordinator would cut its own links; without a majority of voters nobody could
    ever be let in again.
    """
    if own == node:
        text = "a coordinator does not revoke itself: ask another one, or stop it"
        raise AdmissionRefused("wrong", text)
    left = len(set(voters) - {node})
    if node in voters and 2 * left <= len(voters):
        text = (
            "without that coordinator the others could decide nothing any more: let two more "
            "coordinators in first, and wait until 'electrons coordinators' shows them as voters"
        )
        raise AdmissionRefused("wrong", text)
