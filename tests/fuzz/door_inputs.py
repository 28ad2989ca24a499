"""What comes to a public door, and what its two nodes say to each other."""

from __future__ import annotations

from mesh.wire import door
from node.door.server_name import MAX_HELLO, ServerNames
from tests.fakes.tls_client import MemoryClient

REQUESTS = tuple(
    door.encode_request(each)
    for each in (door.Register("a"), door.Incoming(bytes(16), "a.example", "::1"))
)
ANSWERS = tuple(
    door.encode_answer(each)
    for each in (door.Registered("a.example", 443), door.Accepted(), door.Refused("no"))
)
HELLO = MemoryClient("a.example").shake()
_NAMES = ServerNames()
_PIECE = 100
"""Bytes that come at once."""


def run_server_name(data: bytes) -> str:
    """The first bytes of a visitor, in pieces, until a name is found."""
    reader = _NAMES.reader()
    for start in range(0, len(data), _PIECE):
        name = reader.feed(data[start : start + _PIECE])
        if name is not None:
            assert name == name.lower() != ""
            return "name"
    assert len(data) < MAX_HELLO
    return "more"
