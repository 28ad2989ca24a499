"""Checks for the pieces of a msgpack message that came from outside. All raise WireError."""

from __future__ import annotations

import math
from typing import Any

import msgpack

from mesh.errors import WireError
from mesh.ids import NodeId

ID_BYTES = 20
"""A node id or a table key as raw bytes."""
MAX_COUNTER = 2**63 - 1
MAX_ITEMS = 4_096
"""Items of one array or map: a reader makes room for every array that claims to be long."""
MAX_ADDRESSES = 16
MAX_ADDRESS = 255
"""Addresses of one node, and characters of each."""


def pack(fields: list[Any]) -> bytes:
    """Encode an array of plain values."""
    packed: bytes = msgpack.packb(fields)
    return packed


def unpack(data: bytes, *, most: int) -> list[Any]:
    """Decode an array from at most `most` bytes."""
    if len(data) > most:
        raise WireError(f"{len(data)} bytes came where at most {most} may")
    try:
        fields = msgpack.unpackb(
            data, strict_map_key=True, max_array_len=MAX_ITEMS, max_map_len=MAX_ITEMS
        )
    except (ValueError, TypeError, RecursionError):
        raise WireError("a message is not msgpack") from None
    return listed(fields, most=most)


def listed(value: object, *, most: int) -> list[Any]:
    """A list of at most `most` items."""
    if not isinstance(value, list) or len(value) > most:
        raise WireError(f"expected a list of at most {most} items")
    return value


def text(value: object, *, most: int) -> str:
    """A string of at most `most` characters."""
    if not isinstance(value, str) or len(value) > most:
        raise WireError(f"expected text of at most {most} characters")
    return value


def raw(value: object, *, most: int, exactly: bool = False) -> bytes:
    """Bytes, at most (or exactly) `most` of them."""
    if not isinstance(value, bytes) or len(value) > most or (exactly and len(value) != most):
        raise WireError(f"expected {'' if exactly else 'at most '}{most} bytes")
    return value


def whole(value: object, *, most: int = MAX_COUNTER) -> int:
    """An integer from 0 to `most`."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise WireError(f"expected a whole number from 0 to {most}")
    return value


def seconds(value: object, *, most: float = math.inf) -> float:
    """A finite number from 0 to `most`."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise WireError("expected a number")
    if not (math.isfinite(value) and 0 <= value <= most):
        raise WireError(f"expected a number from 0 to {most}")
    return float(value)


def node_id(value: object) -> NodeId:
    """A node id from its 20 raw bytes."""
    return NodeId(raw(value, most=ID_BYTES, exactly=True).hex())


def addresses(value: object) -> tuple[str, ...]:
    """The addresses of one node, bounded in number and length."""
    items = listed(value, most=MAX_ADDRESSES)
    return tuple(text(item, most=MAX_ADDRESS) for item in items)
