"""Handlers of who is in the mesh: tickets, members, revocations, the trail. For the admin only."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any, Protocol, TypeVar

import orjson

from mesh.admission import AdmissionRefusal, AdmissionRefused, Admissions
from mesh.identity.ticket_qr import render_qr
from node.gateway import faults
from node.gateway.admission_objects import (
    audit_object,
    invite_object,
    member_object,
    parse_invitation,
    parse_page,
    parse_revocation,
    parse_short,
    revoked_object,
)
from node.gateway.application import Handler
from node.gateway.exchange import Answer, Incoming, Reply
from node.gateway.faults import Fault, Refusal
from node.gateway.json_body import decode_object
from node.gateway.routes import Route
from node.ticket_office import Invited

T = TypeVar("T")

_STATUS: dict[AdmissionRefusal, int] = {
    "unknown": 404,
    "wrong": 400,
    "not_allowed": 403,
    "no_quorum": 503,
    "not_yet": 503,
    "no_coordinator": 503,
    "undecided": 504,
    "too_many": 429,
}
"""What is not here is 409: the request is right and the mesh's state says no."""
_NAMES: dict[AdmissionRefusal, str] = {
    "unknown": "ticket_not_found",
    "wrong": "invalid_request",
    "not_allowed": "not_allowed",
    "no_quorum": "no_quorum",
    "undecided": "undecided",
    "no_coordinator": "no_coordinator",
}
NOT_FOUNDED = Fault(
    503,
    "no_coordinator",
    "tickets are given in a mesh with coordinators: see 'electrons mesh create'",
)


class Office(Protocol):
    """Writes tickets, and knows who keeps the books."""

    @property
    def admissions(self) -> Admissions: ...

    async def invite(
        self, roles: Sequence[str], uses: int, seconds: float, note: str
    ) -> Invited: ...


class AdmissionHandlers:
    """`office` None: this mesh has no root key, so there is nothing to give."""

    def __init__(self, office: Office | None) -> None:
        self._office = office

    def routes(self) -> list[Route[Handler]]:
        """What these handlers answer."""
        return [
            Route("GET", "/api/invites", self.invites),
            Route("POST", "/api/invites", self.invite),
            Route("DELETE", "/api/invites/", self.drop, label="/api/invites/{id}"),
            Route("GET", "/api/members", self.members),
            Route("GET", "/api/revocations", self.revoked),
            Route("POST", "/api/revocations", self.revoke),
            Route("GET", "/api/audit", self.audit),
        ]

    async def invites(self, incoming: Incoming, reply: Reply) -> None:
        """GET /api/invites."""
        found = await _allowed(self._known(incoming).admissions.invites())
        await reply.send(_json({"invites": [invite_object(each) for each in found]}))

    async def invite(self, incoming: Incoming, reply: Reply) -> None:
        """POST /api/invites. The only answer that ever holds the ticket."""
        office = self._known(incoming)
        body = incoming.take_body()
        roles, uses, seconds, note = parse_invitation(decode_object(body) if body else {})
        invited = await _allowed(office.invite(roles, uses, seconds, note))
        qr = render_qr(invited.ticket, colour=False)
        answer = {**invite_object(invited.invite), "ticket": invited.ticket, "qr": qr}
        await reply.send(_json(answer))

    async def drop(self, incoming: Incoming, reply: Reply) -> None:
        """DELETE /api/invites/{id}."""
        office = self._known(incoming)
        short = parse_short(incoming.tail)
        await _allowed(office.admissions.drop(short))
        await reply.send(_json({"removed": short}))

    async def members(self, incoming: Incoming, reply: Reply) -> None:
        """GET /api/members."""
        found = await _allowed(self._known(incoming).admissions.members())
        await reply.send(_json({"members": [member_object(each) for each in found]}))

    async def revoked(self, incoming: Incoming, reply: Reply) -> None:
        """GET /api/revocations."""
        found = await _allowed(self._known(incoming).admissions.revoked())
        await reply.send(_json({"revocations": [revoked_object(each) for each in found]}))

    async def revoke(self, incoming: Incoming, reply: Reply) -> None:
        """POST /api/revocations."""
        office = self._known(incoming)
        node, reason = parse_revocation(decode_object(incoming.take_body()))
        await reply.send(
            _json(revoked_object(await _allowed(office.admissions.revoke(node, reason))))
        )

    async def audit(self, incoming: Incoming, reply: Reply) -> None:
        """GET /api/audit; `after` a number, at most `limit` rows, the newest first."""
        office = self._known(incoming)
        after, limit = parse_page(incoming.head.query)
        rows = await _allowed(office.admissions.audit(after, limit))
        await reply.send(_json({"rows": [audit_object(row) for row in rows]}))

    def _known(self, incoming: Incoming) -> Office:
        if not incoming.principal.admin:
            raise Refusal(faults.NOT_ADMIN)
        if self._office is None:
            raise Refusal(NOT_FOUNDED)
        return self._office


async def _allowed(doing: Awaitable[T]) -> T:
    try:
        return await doing
    except AdmissionRefused as refusal:
        code = refusal.code
        status = _STATUS.get(code, 409)
        headers = [("retry-after", "2")] if status in (429, 503) else []
        name = _NAMES.get(code, f"ticket_{code}")
        raise Refusal(Fault(status, name, str(refusal), headers=headers)) from None


def _json(value: Any) -> Answer:
    return Answer(200, orjson.dumps(value))
