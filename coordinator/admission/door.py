"""Serves ADMISSION streams: anybody's tickets and renewals, administrators' questions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from coordinator.admission.attempts import Attempts
from coordinator.admission.desk import AdmissionDesk, CannotSign
from mesh.admission import AdmissionRefused
from mesh.clock import Clock
from mesh.identity.ticket import Contact
from mesh.ids import NodeId
from mesh.ports import Link, Stream
from mesh.wire.admission import (
    AUDIT,
    INVITES,
    MEMBERS,
    REVOKED,
    Answer,
    AskDrop,
    AskInvite,
    AskList,
    AskRevoke,
    Elsewhere,
    Granted,
    Redeem,
    Refused,
    Renew,
    Request,
    Rows,
    decode_request,
    encode_answer,
)

log = logging.getLogger(__name__)

NO_SIGNER = "no coordinator that may sign such a grant can be named; try again shortly"
NOT_ADMIN = (
    "only nodes that are granted admin may do that: "
    "'electrons mesh grant FOLDER NODE --role admin', where FOLDER holds the root key"
)


class AdmissionDoor:
    """Decides who may ask what, and how often."""

    def __init__(
        self,
        *,
        desk: AdmissionDesk,
        is_admin: Callable[[Link], bool],
        source_of: Callable[[Link], str],
        signers: Callable[[Sequence[str]], Sequence[Contact]],
        clock: Clock,
    ) -> None:
        """`source_of` gives the host that a link comes from; `signers` names other coordinators
        whose own grants let them sign for such roles.
        """
        self._desk = desk
        self._is_admin = is_admin
        self._source_of = source_of
        self._signers = signers
        self._clock = clock
        self._attempts = Attempts()

    async def serve(self, link: Link, stream: Stream) -> None:
        """Answer one request. Raises WireError for what is none, which resets the stream."""
        data = await stream.receive()
        if data is None:
            return
        try:
            answer = await self._answer(link, decode_request(data))
        except AdmissionRefused as refusal:
            answer = Refused(refusal.code, str(refusal))
        await stream.send(encode_answer(answer))
        stream.finish()

    async def _answer(self, link: Link, request: Request) -> Answer:
        if isinstance(request, Redeem | Renew):
            return await self._admit(link, request)
        if not self._is_admin(link):
            log.warning("%s may not administer the mesh and tried to", link.peer[:8])
            raise AdmissionRefused("not_allowed", NOT_ADMIN)
        return await self._administer(link.peer, request)

    async def _admit(self, link: Link, request: Redeem | Renew) -> Answer:
        node, source = link.peer, self._source_of(link)
        if not self._attempts.allow(node, source, self._clock.now()):
            raise AdmissionRefused("too_many")
        try:
            if isinstance(request, Renew):
                return Granted(await self._desk.renew(node))
            return Granted(await self._desk.redeem(node, request.secret))
        except CannotSign as error:
            contacts = tuple(self._signers(error.roles))
            return Elsewhere(contacts) if contacts else Refused("no_coordinator", NO_SIGNER)
        except AdmissionRefused as refusal:
            if refusal.code == "unknown":
                self._attempts.note_wrong(node, source, self._clock.now())
            raise

    async def _administer(self, by: NodeId, request: Request) -> Answer:
        desk = self._desk
        match request:
            case AskInvite(digest, roles, uses, seconds, note):
                invite = await desk.invite(digest, roles, uses, seconds, note, by=by, admin=True)
                return Rows(INVITES, (invite,))
            case AskDrop(short):
                await desk.drop(short, by=by)
                return Rows(INVITES, ())
            case AskRevoke(node, reason):
                return Rows(REVOKED, (await desk.revoke(node, reason, by=by),))
            case AskList(what, after, most):
                return await self._list(what, after, most)
        raise AdmissionRefused("wrong")

    async def _list(self, what: int, after: int, most: int) -> Answer:
        desk = self._desk
        if what == INVITES:
            return Rows(what, tuple(await desk.invites())[:most])
        if what == MEMBERS:
            return Rows(what, tuple(await desk.members())[:most])
        if what == AUDIT:
            return Rows(what, tuple(await desk.audit(after, most)))
        return Rows(REVOKED, tuple(await desk.revoked())[:most])
