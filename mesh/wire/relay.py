"""What nodes say to a relay, and what opens a pipe that it is to splice.

A RELAY stream carries one request and one answer: msgpack arrays whose first item is the message's
number; items a reader does not know are ignored.

A pipe that is to be spliced begins with a preamble of 20 bytes, MAGIC and the token that the relay
gave; what follows belongs to the other end. TLS begins with another byte, so both share a port.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mesh.errors import WireError
from mesh.ids import NodeId
from mesh.wire import fields

RESERVE, CONNECT, INCOMING = 1, 2, 3
RESERVED, CIRCUIT, ACCEPTED, REFUSED = 17, 18, 19, 20
"""Message numbers. Retired: none."""

MAGIC = b"DEr1"
TOKEN_BYTES = 16
PREAMBLE_BYTES = len(MAGIC) + TOKEN_BYTES
MAX_MESSAGE = 1024
MAX_REASON = 200


@dataclass(frozen=True, slots=True)
class Reserve:
    """Let others reach me through you, as long as this link lives."""


@dataclass(frozen=True, slots=True)
class Connect:
    """Make a circuit to a node that has reserved."""

    node: NodeId


@dataclass(frozen=True, slots=True)
class Incoming:
    """`origin` wants to reach you: open a pipe to me with this token."""

    token: bytes
    origin: NodeId


@dataclass(frozen=True, slots=True)
class Reserved:
    """The reservation stands. `circuits` are spliced by this relay now: its load."""

    circuits: int


@dataclass(frozen=True, slots=True)
class Circuit:
    """Open a pipe to me with this token, soon."""

    token: bytes


@dataclass(frozen=True, slots=True)
class Accepted:
    """The pipe is on its way."""


@dataclass(frozen=True, slots=True)
class Refused:
    """No, and why, in words for people."""

    reason: str


Request = Reserve | Connect | Incoming
Answer = Reserved | Circuit | Accepted | Refused


def encode_request(request: Request) -> bytes:
    """At most MAX_MESSAGE bytes."""
    match request:
        case Reserve():
            parts: list[Any] = [RESERVE]
        case Connect(node):
            parts = [CONNECT, bytes.fromhex(node)]
        case Incoming(token, origin):
            parts = [INCOMING, token, bytes.fromhex(origin)]
    return fields.pack(parts)


def decode_request(data: bytes) -> Request:
    """Raises WireError."""
    parts = fields.unpack(data, most=MAX_MESSAGE)
    number = fields.whole(parts[0]) if parts else 0
    if number == RESERVE:
        return Reserve()
    if number == CONNECT and len(parts) > 1:
        return Connect(fields.node_id(parts[1]))
    if number == INCOMING and len(parts) > 2:
        token = fields.raw(parts[1], most=TOKEN_BYTES, exactly=True)
        return Incoming(token, fields.node_id(parts[2]))
    raise WireError("an unknown request about relaying")


def encode_answer(answer: Answer) -> bytes:
    """At most MAX_MESSAGE bytes."""
    match answer:
        case Reserved(circuits):
            parts: list[Any] = [RESERVED, circuits]
        case Circuit(token):
            parts = [CIRCUIT, token]
        case Accepted():
            parts = [ACCEPTED, None]
        case Refused(reason):
            parts = [REFUSED, reason[:MAX_REASON]]
    return fields.pack(parts)


def decode_answer(data: bytes) -> Answer:
    """Raises WireError."""
    parts = fields.unpack(data, most=MAX_MESSAGE)
    if len(parts) < 2:
        raise WireError("an answer about relaying is too short")
    number, value = fields.whole(parts[0]), parts[1]
    if number == RESERVED:
        return Reserved(fields.whole(value))
    if number == CIRCUIT:
        return Circuit(fields.raw(value, most=TOKEN_BYTES, exactly=True))
    if number == ACCEPTED:
        return Accepted()
    if number == REFUSED:
        return Refused(fields.text(value, most=MAX_REASON))
    raise WireError("an unknown answer about relaying")


def encode_preamble(token: bytes) -> bytes:
    """The first PREAMBLE_BYTES of a pipe that is to be spliced."""
    return MAGIC + token


def is_preamble(first: bytes) -> bool:
    """Whether a pipe that begins with these bytes is to be spliced; one byte is enough."""
    return first[: len(MAGIC)] == MAGIC[: len(first)]


def decode_preamble(first: bytes) -> bytes:
    """The token in the first PREAMBLE_BYTES. Raises WireError."""
    if len(first) != PREAMBLE_BYTES or not first.startswith(MAGIC):
        raise WireError("a pipe began with a wrong preamble")
    return first[len(MAGIC) :]
