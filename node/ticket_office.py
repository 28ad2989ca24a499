"""Writes tickets. The secret is drawn here; nothing but its digest leaves this node."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mesh.admission import AdmissionRefused, Admissions, Invite
from mesh.capability import NodeRecord, Role
from mesh.errors import RecordRejected
from mesh.identity.grants import ALL_ROLES, Grant, decode_grant
from mesh.identity.ticket import (
    MAX_CONTACTS,
    MAX_URLS,
    SECRET_SIZE,
    Contact,
    Ticket,
    encode_ticket,
    secret_digest,
)
from mesh.ids import MeshId, hash_key

NO_ROOT = "this node has no grant of a founded mesh, so it cannot write tickets for one"
NO_ADDRESS = "no coordinator has an address that a newcomer could dial"


@dataclass(frozen=True, slots=True)
class Invited:
    """A fresh ticket. Its text is shown once and kept nowhere."""

    ticket: str
    invite: Invite


class TicketOffice:
    """What the administrator of a node gets tickets from."""

    def __init__(
        self,
        *,
        admissions: Admissions,
        mesh_id: MeshId,
        grants: Callable[[], Sequence[bytes]],
        coordinators: Callable[[], Sequence[NodeRecord]],
    ) -> None:
        """`grants`: this node's own, encoded. `coordinators`: records, this node's too."""
        self.admissions = admissions
        self._mesh_id = mesh_id
        self._grants = grants
        self._coordinators = coordinators

    async def invite(self, roles: Sequence[str], uses: int, seconds: float, note: str) -> Invited:
        """A ticket that newcomers can paste. Raises AdmissionRefused."""
        root_key = root_key_of(self._grants(), self._mesh_id)
        if root_key is None:
            raise AdmissionRefused("not_allowed", NO_ROOT)
        contacts = choose_contacts(self._coordinators())
        if not contacts:
            raise AdmissionRefused("no_coordinator", NO_ADDRESS)
        secret = secrets.token_bytes(SECRET_SIZE)
        invite = await self.admissions.invite(secret_digest(secret), roles, uses, seconds, note)
        given: tuple[Role, ...] = tuple(role for role in ALL_ROLES if role in invite.roles)
        ticket = Ticket(root_key, given, contacts, int(invite.expires), secret)
        return Invited(encode_ticket(ticket), invite)


def root_key_of(grants: Sequence[bytes], mesh_id: MeshId) -> bytes | None:
    """The mesh's public root key, which stands in every chain that leads to it."""
    for data in grants:
        try:
            grant: Grant | None = decode_grant(data)
        except RecordRejected:
            continue
        while grant is not None:
            if hash_key(grant.issuer_key) == mesh_id:
                return grant.issuer_key
            grant = grant.issuer
    return None


def choose_contacts(coordinators: Sequence[NodeRecord]) -> tuple[Contact, ...]:
    """Whom a ticket names: coordinators with addresses, in the order they are given."""
    usable = [record for record in coordinators if record.addresses]
    return tuple(
        Contact(record.node_id, record.addresses[:MAX_URLS]) for record in usable[:MAX_CONTACTS]
    )
