"""What two nodes that nobody can dial tell each other, so that both dial at once.

A PUNCH stream carries one request and one answer: msgpack arrays whose first item is the message's
number; items a reader does not know are ignored. Places are host:port of UDP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mesh.errors import WireError
from mesh.wire import fields

ASK_OBSERVER, PUNCH = 1, 2
OBSERVER, PUNCHING, REFUSED = 17, 18, 19
"""Message numbers. Retired: none."""

ENDPOINT_BYTES = 32
"""An Ed25519 key made for QUIC alone; it proves nothing about the node."""
MAX_PLACES = 8
MAX_PLACE = 64
MAX_MESSAGE = 2 * 1024
MAX_REASON = 200
MAX_PORT = 65_535


@dataclass(frozen=True, slots=True)
class AskObserver:
    """Where can I learn which outside address UDP of mine has?"""


@dataclass(frozen=True, slots=True)
class Observer:
    """Dial this QUIC endpoint at the port, on the host by which you reach me."""

    endpoint: bytes
    port: int


@dataclass(frozen=True, slots=True)
class Punch:
    """I am about to dial you by QUIC from these places: send something there at once."""

    endpoint: bytes
    places: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Punching:
    """I do. These are mine: dial them."""

    endpoint: bytes
    places: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """No, and why, in words for people."""

    reason: str


Request = AskObserver | Punch
Answer = Observer | Punching | Refused


def encode_request(request: Request) -> bytes:
    """At most MAX_MESSAGE bytes."""
    match request:
        case AskObserver():
            parts: list[Any] = [ASK_OBSERVER]
        case Punch(endpoint, places):
            parts = [PUNCH, endpoint, list(places[:MAX_PLACES])]
    return fields.pack(parts)


def decode_request(data: bytes) -> Request:
    """Raises WireError."""
    parts = fields.unpack(data, most=MAX_MESSAGE)
    number = fields.whole(parts[0]) if parts else 0
    if number == ASK_OBSERVER:
        return AskObserver()
    if number == PUNCH and len(parts) > 2:
        return Punch(_endpoint(parts[1]), _places(parts[2]))
    raise WireError("an unknown request about punching")


def encode_answer(answer: Answer) -> bytes:
    """At most MAX_MESSAGE bytes."""
    match answer:
        case Observer(endpoint, port):
            parts: list[Any] = [OBSERVER, endpoint, port]
        case Punching(endpoint, places):
            parts = [PUNCHING, endpoint, list(places[:MAX_PLACES])]
        case Refused(reason):
            parts = [REFUSED, reason[:MAX_REASON]]
    return fields.pack(parts)


def decode_answer(data: bytes) -> Answer:
    """Raises WireError."""
    parts = fields.unpack(data, most=MAX_MESSAGE)
    number = fields.whole(parts[0]) if parts else 0
    if number == REFUSED and len(parts) > 1:
        return Refused(fields.text(parts[1], most=MAX_REASON))
    if number == OBSERVER and len(parts) > 2:
        return Observer(_endpoint(parts[1]), fields.whole(parts[2], most=MAX_PORT))
    if number == PUNCHING and len(parts) > 2:
        return Punching(_endpoint(parts[1]), _places(parts[2]))
    raise WireError("an unknown answer about punching")


def _endpoint(value: object) -> bytes:
    return fields.raw(value, most=ENDPOINT_BYTES, exactly=True)


def _places(value: object) -> tuple[str, ...]:
    return tuple(
        fields.text(each, most=MAX_PLACE) for each in fields.listed(value, most=MAX_PLACES)
    )
