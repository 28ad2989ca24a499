"""What passes between a node that wants a public name and the node that keeps a door for it.

A DOOR stream carries one request and one answer: msgpack arrays whose first item is the message's
number; items a reader does not know are ignored. Whoever came to the door is brought together with
the holder of the name by a pipe of its own, which begins with a preamble of `mesh.wire.relay`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mesh.errors import WireError
from mesh.wire import fields
from mesh.wire.relay import TOKEN_BYTES

REGISTER, INCOMING = 1, 2
REGISTERED, ACCEPTED, REFUSED = 17, 18, 19
"""Message numbers. Retired: none."""

MAX_MESSAGE = 2 * 1024
MAX_LABEL = 63
MAX_NAME = 253
"""Characters of one label and of a whole host name (RFC 1035 2.3.4)."""
MAX_SOURCE = 64
"""Characters of a client's address."""
MAX_REASON = 200
MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class Register:
    """Send me who comes for `label`.DOMAIN; "" asks for the label made from my id."""

    label: str = ""


@dataclass(frozen=True, slots=True)
class Incoming:
    """Somebody came for `name` from address `source`: open a pipe to me with this token."""

    token: bytes
    name: str
    source: str


@dataclass(frozen=True, slots=True)
class Registered:
    """The name is the asking node's; browsers reach it under https://NAME:PORT/."""

    name: str
    port: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """The pipe is on its way."""


@dataclass(frozen=True, slots=True)
class Refused:
    """No, and why, in words for people."""

    reason: str


Request = Register | Incoming
Answer = Registered | Accepted | Refused


def encode_request(request: Request) -> bytes:
    """At most MAX_MESSAGE bytes."""
    match request:
        case Register(label):
            parts: list[Any] = [REGISTER, label]
        case Incoming(token, name, source):
            parts = [INCOMING, token, name, source[:MAX_SOURCE]]
    return fields.pack(parts)


def decode_request(data: bytes) -> Request:
    """Raises WireError."""
    parts = fields.unpack(data, most=MAX_MESSAGE)
    number = fields.whole(parts[0]) if parts else 0
    if number == REGISTER and len(parts) > 1:
        return Register(fields.text(parts[1], most=MAX_LABEL))
    if number == INCOMING and len(parts) > 3:
        return Incoming(
            fields.raw(parts[1], most=TOKEN_BYTES, exactly=True),
            fields.text(parts[2], most=MAX_NAME),
            fields.text(parts[3], most=MAX_SOURCE),
        )
    raise WireError("an unknown request about doors")


def encode_answer(answer: Answer) -> bytes:
    """At most MAX_MESSAGE bytes."""
    match answer:
        case Registered(name, port):
            parts: list[Any] = [REGISTERED, name, port]
        case Accepted():
            parts = [ACCEPTED]
        case Refused(reason):
            parts = [REFUSED, reason[:MAX_REASON]]
    return fields.pack(parts)


def decode_answer(data: bytes) -> Answer:
    """Raises WireError."""
    parts = fields.unpack(data, most=MAX_MESSAGE)
    number = fields.whole(parts[0]) if parts else 0
    if number == REGISTERED and len(parts) > 2:
        name = fields.text(parts[1], most=MAX_NAME)
        return Registered(name, fields.whole(parts[2], most=MAX_PORT))
    if number == ACCEPTED:
        return Accepted()
    if number == REFUSED and len(parts) > 1:
        return Refused(fields.text(parts[1], most=MAX_REASON))
    raise WireError("an unknown answer about doors")
