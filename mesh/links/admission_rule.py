"""Who may link: a pure function of the mesh's policy and of what the peer has shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mesh.identity.trust import MEMBERS_ONLY, REMOVED, Credentials
from mesh.wire.frames import GoawayCode

Kind = Literal["member", "guest", "stranger", "refused"]


@dataclass(frozen=True, slots=True)
class Admission:
    """What becomes of a link. `code` and `reason` are for those who are refused."""

    kind: Kind
    code: GoawayCode = GoawayCode.MEMBERS_ONLY
    reason: str = ""


MEMBER, GUEST, STRANGER = Admission("member"), Admission("guest"), Admission("stranger")


def decide_link(credentials: Credentials, *, removed: bool, closed: bool) -> Admission:
    """An ordinary link: for members, and where the mesh is open for guests, who are trusted with
    nothing."""
    if removed:
        return Admission("refused", GoawayCode.REVOKED, REMOVED)
    if credentials.member:
        return MEMBER
    return Admission("refused", reason=MEMBERS_ONLY) if closed else GUEST


def decide_applicant(*, removed: bool, admits: bool, room: bool) -> Admission:
    """A link that its dialler asked for to be admitted: it carries ADMISSION streams only.

    `admits`: this node serves those. `room`: there are not too many such links already.
    """
    if removed:
        return Admission("refused", GoawayCode.REVOKED, REMOVED)
    if not admits:
        return Admission("refused", reason="this node admits nobody: ask a coordinator")
    if not room:
        return Admission("refused", GoawayCode.BUSY, "too many ask to be admitted: try again soon")
    return STRANGER


def decide_admitter(credentials: Credentials, *, removed: bool) -> Admission:
    """The node that was dialled in order to be admitted: only a member may see a ticket."""
    if removed or not credentials.member:
        return Admission("refused", reason="that node is no member of this mesh: show it no ticket")
    return STRANGER
