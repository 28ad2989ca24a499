"""Messages on ADMISSION streams: one request, one answer.

A newcomer redeems its ticket's secret (Redeem), a member has its grant renewed (Renew); both get
Granted, Elsewhere (another coordinator can) or Refused. Administrators invite, revoke and look.
Every message is a msgpack array whose first item is its number; items a reader does not know are
ignored. The only link on which a stranger is heard at all, so every bound stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast, get_args

from mesh.admission import AdmissionRefusal, AuditRow, Invite, Member, RevokedNode
from mesh.errors import WireError
from mesh.identity.grants import MAX_GRANT
from mesh.identity.ticket import MAX_CONTACTS, SECRET_SIZE, Contact
from mesh.ids import NodeId
from mesh.wire import fields
from mesh.wire.admission_commands import DIGEST_BYTES, MAX_NOTE, MAX_ROLES, MAX_USES
from mesh.wire.admission_rows import (
    pack_audit,
    pack_invite,
    pack_member,
    pack_revoked,
    read_audit,
    read_invite,
    read_member,
    read_revoked,
)

REDEEM, RENEW, INVITE, DROP, REVOKE, LIST = 1, 2, 3, 4, 5, 6
GRANTED, REFUSED, ELSEWHERE, LISTED = 17, 18, 19, 20
"""Message numbers. Retired: none."""
INVITES, MEMBERS, AUDIT, REVOKED = 1, 2, 3, 4
"""What can be listed."""

MAX_REQUEST = 1024
"""Bytes of a request."""
MAX_ANSWER = 56 * 1024
"""Bytes of an answer; a longer list is cut."""
MAX_ROWS = 512
MAX_WORDS = 300
"""Characters of a refusal."""
MAX_SHORT = 2 * DIGEST_BYTES

Row = Invite | Member | AuditRow | RevokedNode


@dataclass(frozen=True, slots=True)
class Redeem:
    """Let the asking node in by this secret."""

    secret: bytes


@dataclass(frozen=True, slots=True)
class Renew:
    """Give the asking node, a member, its next grant."""


@dataclass(frozen=True, slots=True)
class AskInvite:
    """Let `uses` nodes in, within `seconds`, by the secret with this SHA-256."""

    digest: str
    roles: tuple[str, ...]
    uses: int
    seconds: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class AskDrop:
    """Take a ticket back; `short` is the start of its digest."""

    short: str


@dataclass(frozen=True, slots=True)
class AskRevoke:
    """Believe a node no more."""

    node: NodeId
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AskList:
    """Rows of one table; of the trail those above the number `after`."""

    what: int
    after: int = 0
    most: int = MAX_ROWS


@dataclass(frozen=True, slots=True)
class Granted:
    """An encoded grant for the asking node."""

    grant: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was done."""

    code: AdmissionRefusal
    words: str


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """This coordinator may not sign such a grant; these may."""

    contacts: tuple[Contact, ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """What was done or asked for; nothing is left of a ticket that was taken back.

    Not `complete`: there are more than one answer holds.
    """

    what: int
    rows: tuple[Row, ...]
    complete: bool = True


Request = Redeem | Renew | AskInvite | AskDrop | AskRevoke | AskList
Answer = Granted | Refused | Elsewhere | Rows

_CODES = frozenset(get_args(AdmissionRefusal))
_PACK: dict[int, Callable[[Any], list[Any]]] = {
    INVITES: pack_invite,
    MEMBERS: pack_member,
    AUDIT: pack_audit,
    REVOKED: pack_revoked,
}
_READ: dict[int, Callable[[Any], Row]] = {
    INVITES: read_invite,
    MEMBERS: read_member,
    AUDIT: read_audit,
    REVOKED: read_revoked,
}


def encode_request(request: Request) -> bytes:
    """At most MAX_REQUEST bytes."""
    match request:
        case Redeem(secret):
            return fields.pack([REDEEM, secret])
        case Renew():
            return fields.pack([RENEW])
        case AskInvite(digest, roles, uses, seconds, note):
            parts = [INVITE, bytes.fromhex(digest), list(roles), uses, float(seconds), note]
            return fields.pack(parts)
        case AskDrop(short):
            return fields.pack([DROP, short])
        case AskRevoke(node, reason):
            return fields.pack([REVOKE, bytes.fromhex(node), reason])
        case AskList(what, after, most):
            return fields.pack([LIST, what, after, most])


def decode_request(data: bytes) -> Request:
    """Raises WireError."""
    parts = fields.unpack(data, most=MAX_REQUEST)
    number = fields.whole(parts[0]) if parts else 0
    match number, parts[1:]:
        case 1, [secret, *_]:
            return Redeem(fields.raw(secret, most=SECRET_SIZE, exactly=True))
        case 2, _:
            return Renew()
        case 3, [digest, roles, uses, seconds, note, *_]:
            return AskInvite(
                fields.raw(digest, most=DIGEST_BYTES, exactly=True).hex(),
                tuple(fields.text(role, most=16) for role in fields.listed(roles, most=MAX_ROLES)),
                fields.whole(uses, most=MAX_USES),
                fields.seconds(seconds),
                fields.text(note, most=MAX_NOTE),
            )
        case 4, [short, *_]:
            return AskDrop(fields.text(short, most=MAX_SHORT))
        case 5, [node, reason, *_]:
            return AskRevoke(fields.node_id(node), fields.text(reason, most=MAX_NOTE))
        case 6, [what, after, most, *_]:
            return AskList(_table(what), fields.whole(after), fields.whole(most, most=MAX_ROWS))
    raise WireError("an unknown request for admission")


def encode_answer(answer: Answer) -> bytes:
    """At most MAX_ANSWER bytes: rows that do not fit are left out, and that is said."""
    match answer:
        case Granted(grant):
            return fields.pack([GRANTED, grant])
        case Refused(code, words):
            return fields.pack([REFUSED, code, words[:MAX_WORDS]])
        case Elsewhere(contacts):
            return fields.pack([ELSEWHERE, [_pack_contact(each) for each in contacts]])
        case Rows(what, rows, complete):
            return _pack_rows(what, rows, complete)


def decode_answer(data: bytes) -> Answer:
    """Raises WireError."""
    parts = fields.unpack(data, most=MAX_ANSWER)
    number = fields.whole(parts[0]) if parts else 0
    match number, parts[1:]:
        case 17, [grant, *_]:
            return Granted(fields.raw(grant, most=MAX_GRANT))
        case 18, [code, words, *_]:
            return Refused(_code(code), fields.text(words, most=MAX_WORDS))
        case 19, [contacts, *_]:
            listed = fields.listed(contacts, most=MAX_CONTACTS)
            return Elsewhere(tuple(map(_contact, listed)))
        case 20, [what, rows, complete, *_]:
            read = _READ[_table(what)]
            items = fields.listed(rows, most=MAX_ROWS)
            return Rows(what, tuple(read(row) for row in items), complete is True)
    raise WireError("an unknown answer about admission")


def _pack_rows(what: int, rows: Sequence[Row], complete: bool) -> bytes:
    pack, packed, size = _PACK[what], [], 64
    for row in rows[:MAX_ROWS]:
        fields_of_row = pack(row)
        size += len(fields.pack(fields_of_row))
        if size > MAX_ANSWER:
            break
        packed.append(fields_of_row)
    return fields.pack([LISTED, what, packed, complete and len(packed) == len(rows)])


def _table(value: object) -> int:
    what = fields.whole(value)
    if what not in _READ:
        raise WireError("there is no such list")
    return what


def _code(value: object) -> AdmissionRefusal:
    """A code of a later release is told as "wrong"; its words say more."""
    code = fields.text(value, most=32)
    return cast(AdmissionRefusal, code) if code in _CODES else "wrong"


def _pack_contact(contact: Contact) -> list[Any]:
    return [bytes.fromhex(contact.node_id), list(contact.addresses)]


def _contact(value: object) -> Contact:
    parts = fields.listed(value, most=8)
    if len(parts) < 2:
        raise WireError("a contact has too few fields")
    return Contact(fields.node_id(parts[0]), fields.addresses(parts[1]))
