"""Questions on REACH streams: can you reach me? One request and one answer on each stream.

Both are msgpack arrays whose first item is their number; items a reader does not know are ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mesh.errors import WireError
from mesh.wire import fields

REACH_ME, SEEN = 1, 17
"""Message numbers. Retired: none."""

Outcome = Literal["reached", "refused", "silent"]
"""`refused`: an answer came, but not from the node; `silent`: none in time."""

OUTCOMES: dict[int, Outcome] = {1: "reached", 2: "refused", 3: "silent"}
_NUMBERS = {outcome: number for number, outcome in OUTCOMES.items()}

MAX_REACH_MESSAGE = 8 * 1024
MAX_TRIED = fields.MAX_ADDRESSES
"""Addresses in an answer."""
MAX_HOST = 64
MAX_PORT = 65_535


@dataclass(frozen=True, slots=True)
class ReachMe:
    """Dial these of my addresses that lead to where you see me, and that place at `port`.

    `port` 0: no such place is known.
    """

    port: int = 0
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """Where the asker's link comes from, and what came of dialling it there.

    `observed` is an IP address, or "" when the link leads through something. No outcome at all: the
    answering node would not dial now.
    """

    observed: str = ""
    outcomes: tuple[tuple[str, Outcome], ...] = ()


def encode_reach_me(request: ReachMe) -> bytes:
    """Encode a request."""
    return fields.pack([REACH_ME, request.port, list(request.addresses[: fields.MAX_ADDRESSES])])


def decode_reach_me(data: bytes) -> ReachMe:
    """Raises WireError."""
    parts = _open(data, REACH_ME, 3)
    return ReachMe(fields.whole(parts[1], most=MAX_PORT), fields.addresses(parts[2]))


def encode_seen(answer: Seen) -> bytes:
    """Encode an answer."""
    tried = [[address, _NUMBERS[outcome]] for address, outcome in answer.outcomes[:MAX_TRIED]]
    return fields.pack([SEEN, answer.observed, tried])


def decode_seen(data: bytes) -> Seen:
    """Raises WireError. Outcomes of a kind not known here are left out."""
    parts = _open(data, SEEN, 3)
    observed = fields.text(parts[1], most=MAX_HOST)
    tried: list[tuple[str, Outcome]] = []
    for item in fields.listed(parts[2], most=MAX_TRIED):
        pair = fields.listed(item, most=fields.MAX_ITEMS)
        if len(pair) < 2:
            raise WireError("an outcome without its address")
        outcome = OUTCOMES.get(fields.whole(pair[1]))
        if outcome is not None:
            tried.append((fields.text(pair[0], most=fields.MAX_ADDRESS), outcome))
    return Seen(observed, tuple(tried))


def _open(data: bytes, number: int, least: int) -> list[object]:
    parts = fields.unpack(data, most=MAX_REACH_MESSAGE)
    if len(parts) < least or parts[0] != number:
        raise WireError("not the message that belongs here")
    return parts
