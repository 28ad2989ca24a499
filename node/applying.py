"""Asks coordinators to admit this node, or to renew its grant, one after the other."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from mesh.admission import AdmissionRefused
from mesh.errors import LinkError, RecordRejected, WireError
from mesh.identity.grants import Grant, check_grant, decode_grant
from mesh.identity.ticket import Contact
from mesh.identity.trust import REMOVED
from mesh.ids import MeshId, NodeId
from mesh.links.pool import LinkPool
from mesh.ports import Link, StreamKind
from mesh.wire.admission import (
    Elsewhere,
    Granted,
    Redeem,
    Refused,
    Renew,
    decode_answer,
    encode_request,
)
from mesh.wire.frames import GoawayCode

log = logging.getLogger(__name__)

DIAL_SECONDS = 5.0
ASK_SECONDS = 12.0
"""Patience for one coordinator, which needs two decisions of its group."""
MAX_ASKED = 16
"""Coordinators asked in one round, those included that others name."""
PASSING = frozenset({"no_quorum", "undecided", "not_yet", "too_many", "no_coordinator"})
"""Refusals that may be different in a moment, or at another coordinator."""

Reach = Callable[[Contact], Awaitable[Link]]
"""A link to a coordinator over which ADMISSION streams go. Raises LinkError or TimeoutError."""


@dataclass(frozen=True, slots=True)
class Applicant:
    """Who asks, and in which mesh: what every grant must be for."""

    node_id: NodeId
    mesh_id: MeshId
    wall: Callable[[], float]


async def ask_for_grant(
    applicant: Applicant, request: Redeem | Renew, contacts: Sequence[Contact], reach: Reach
) -> Grant:
    """A valid grant for this node from the first coordinator that gives one.

    Raises AdmissionRefused; its code is in PASSING where it is worth asking again.
    """
    waiting, asked = deque(contacts), set[NodeId]()
    refusal = AdmissionRefused("no_coordinator")
    while waiting and len(asked) < MAX_ASKED:
        contact = waiting.popleft()
        if contact.node_id in asked:
            continue
        asked.add(contact.node_id)
        try:
            answer = await _ask(await reach(contact), request)
            if isinstance(answer, Granted):
                return _checked(applicant, answer.grant)
        except (LinkError, WireError, RecordRejected, TimeoutError) as error:
            log.info("coordinator %s was of no help: %s", contact.node_id[:8], error)
            if refusal.code == "no_coordinator":
                words = f"coordinator {contact.node_id[:8]} was of no help ({error})"
                refusal = AdmissionRefused("no_coordinator", words)
            continue
        if isinstance(answer, Elsewhere):
            waiting.extend(answer.contacts)
        elif isinstance(answer, Refused):
            refusal = AdmissionRefused(answer.code, answer.words)
            if answer.code not in PASSING:
                raise refusal
    raise refusal


async def apply_to(pool: LinkPool, contact: Contact, wall: Callable[[], float]) -> Link:
    """A link for asking only. Raises LinkError, or AdmissionRefused for a removed node."""
    began = wall()
    try:
        return await pool.apply(contact.node_id, contact.addresses, timeout=DIAL_SECONDS)
    except LinkError:
        if any(each.code is GoawayCode.REVOKED and each.seen_at >= began for each in pool.rebuffs):
            raise AdmissionRefused("revoked", REMOVED) from None
        raise


async def _ask(link: Link, request: Redeem | Renew) -> object:
    data = await link.call(StreamKind.ADMISSION, encode_request(request), timeout=ASK_SECONDS)
    return decode_answer(data)


def _checked(applicant: Applicant, data: bytes) -> Grant:
    """Raises RecordRejected: a coordinator's word alone is not enough."""
    grant = decode_grant(data)
    check_grant(
        grant,
        mesh_id=applicant.mesh_id,
        node_id=applicant.node_id,
        now_wall=applicant.wall(),
    )
    return grant
