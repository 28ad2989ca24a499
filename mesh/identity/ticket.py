"""An invitation as one line that can be pasted: where to go, whom to believe, a one-time secret.

The line is base32 (RFC 4648, 6; case does not matter) of: a version, the body's length, the body,
and the first bytes of a SHA-256 of all before. So a line that was cut off is told apart from one
that was mistyped. A ticket holds no private key: whoever steals it can be admitted in its place as
long as it was not used, and never as somebody else.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Any

from mesh.capability import Role
from mesh.errors import RecordRejected, WireError
from mesh.identity.grants import ALL_ROLES, CLOCK_TOLERANCE
from mesh.identity.keys import PUBLIC_KEY_SIZE
from mesh.ids import MeshId, NodeId, mesh_id_of
from mesh.wire import fields

PREFIX = "electrons-ticket-"
SECRET_SIZE = 16
MAX_CONTACTS = 8
MAX_URLS = 4
"""Addresses of one contact; more would only make the line longer."""
MAX_BODY = 2048
"""Bytes of a ticket's content."""
MAX_TEXT = 4096
"""Characters of a ticket's line."""
_VERSION = 1
_HEAD, _CHECK = 3, 4
_CUT = "the ticket was cut off: copy the whole line"
_MISTYPED = "the ticket is mistyped: copy the line rather than type it"


@dataclass(frozen=True, slots=True)
class Contact:
    """A member that can be asked to let a newcomer in."""

    node_id: NodeId
    addresses: tuple[str, ...]
    """URLs, as in a NodeRecord."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """The right to be granted `roles` in a mesh, until `expires` (Unix seconds)."""

    root_key: bytes
    """The mesh's public root key; its hash is the mesh id."""
    roles: tuple[Role, ...]
    contacts: tuple[Contact, ...]
    expires: int
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(SECRET_SIZE), repr=False)

    @property
    def mesh_id(self) -> MeshId:
        return mesh_id_of(self.root_key)


def secret_digest(secret: bytes) -> str:
    """What coordinators keep of a ticket's secret: 64 hex digits that do not lead back to it."""
    return hashlib.sha256(b"distributed-electrons ticket\0" + secret).hexdigest()


def check_ticket(ticket: Ticket, *, now_wall: float) -> None:
    """Raises RecordRejected when it has expired; who issued it also checks by its own clock."""
    if now_wall > ticket.expires + CLOCK_TOLERANCE:
        raise RecordRejected("the ticket has expired: ask for another one")


def encode_ticket(ticket: Ticket) -> str:
    """One line without spaces. Raises WireError for contacts beyond the bounds."""
    _check_bounds(ticket)
    contacts = [[bytes.fromhex(each.node_id), list(each.addresses)] for each in ticket.contacts]
    body = fields.pack(
        [ticket.root_key, list(ticket.roles), contacts, ticket.secret, ticket.expires]
    )
    if len(body) > MAX_BODY:
        raise WireError(f"a ticket holds at most {MAX_BODY} bytes: name fewer addresses")
    sealed = bytes([_VERSION]) + len(body).to_bytes(2) + body
    return PREFIX + _base32(sealed + _checksum(sealed))


def decode_ticket(text: str) -> Ticket:
    """Read a pasted line. Raises RecordRejected that says what is wrong with it."""
    if len(text) > MAX_TEXT:
        raise RecordRejected("that is too long to be a ticket")
    line = text.strip()
    if not line.lower().startswith(PREFIX):
        raise RecordRejected(f"a ticket is one line that starts with {PREFIX}")
    body = _body(line[len(PREFIX) :])
    try:
        return _parse(fields.unpack(body, most=MAX_BODY))
    except WireError:
        raise RecordRejected("the ticket cannot be read: ask for another one") from None


def _body(text: str) -> bytes:
    try:
        padded = text.upper() + "=" * (-len(text) % 8)
        data = base64.b32decode(padded)
    except (binascii.Error, ValueError):
        raise RecordRejected(_MISTYPED if _looks_whole(text) else _CUT) from None
    if len(data) < _HEAD:
        raise RecordRejected(_CUT)
    if data[0] != _VERSION:
        raise RecordRejected("the ticket is mistyped or made for a newer release: update this one")
    size = int.from_bytes(data[1:_HEAD])
    if len(data) < _HEAD + size + _CHECK:
        raise RecordRejected(_CUT)
    sealed, check = data[: _HEAD + size], data[_HEAD + size :]
    # No secret: the checksum guards against slips, not against people. The last letter may hold
    # bits that no byte has.
    if check != _checksum(sealed) or _base32(data) != text.lower():
        raise RecordRejected(_MISTYPED)
    return sealed[_HEAD:]


def _looks_whole(text: str) -> bool:
    """Whether only signs that base32 does not have are wrong, not the number of them."""
    return len(text) % 8 in (0, 2, 4, 5, 7)


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode("ascii").rstrip("=").lower()


def _checksum(sealed: bytes) -> bytes:
    return hashlib.sha256(sealed).digest()[:_CHECK]


def _parse(parts: list[Any]) -> Ticket:
    if len(parts) < 5:
        raise WireError("a ticket has too few fields")
    names = [fields.text(name, most=32) for name in fields.listed(parts[1], most=len(ALL_ROLES))]
    ticket = Ticket(
        root_key=fields.raw(parts[0], most=PUBLIC_KEY_SIZE, exactly=True),
        roles=tuple(role for role in ALL_ROLES if role in names),
        contacts=tuple(_contact(item) for item in fields.listed(parts[2], most=MAX_CONTACTS)),
        secret=fields.raw(parts[3], most=SECRET_SIZE, exactly=True),
        expires=fields.whole(parts[4]),
    )
    _check_bounds(ticket)
    return ticket


def _contact(value: object) -> Contact:
    parts = fields.listed(value, most=8)
    if len(parts) < 2:
        raise WireError("a contact has too few fields")
    return Contact(fields.node_id(parts[0]), fields.addresses(parts[1]))


def _check_bounds(ticket: Ticket) -> None:
    if not ticket.roles:
        raise WireError("a ticket gives no role that this release knows")
    if not 0 < len(ticket.contacts) <= MAX_CONTACTS:
        raise WireError(f"a ticket names 1 to {MAX_CONTACTS} contacts")
    if any(not 0 < len(contact.addresses) <= MAX_URLS for contact in ticket.contacts):
        raise WireError(f"a contact has 1 to {MAX_URLS} addresses")
