"""Frames on a link: numbers, limits and their pure codec.

A frame is a big-endian 32-bit length and that many bytes of msgpack: an array whose first item is
the frame's number. Readers ignore items they do not know and frames whose number they do not know,
so newer nodes may add both.

    HELLO      [1, {...}]                         see mesh.wire.hello
    OPEN       [2, stream, kind, priority]        the dialler's streams are odd, the other's even
    DATA       [3, stream, flags, bytes]          flags: MORE, FIN
    CREDIT     [4, stream, bytes]                 the sender may send that much more
    RESET      [5, stream, code, reason]          both directions of a stream end now
    PING       [6, token]
    PONG       [7, token]
    GOAWAY     [8, code, reason]                  the sender opens no more streams on this link
    NOTICE     [9, code, text]                    for people; the link goes on
    CHALLENGE  [10, nonce]                        dialled side, first frame inside TLS
    PROOF      [11, mesh id, public key, signature]   dialler's answer
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import Any

import msgpack

from mesh.errors import WireError

PROTOCOL_VERSIONS = (1,)
"""Versions of the link protocol this code speaks, best first. Hello carries them."""

HELLO, OPEN, DATA, CREDIT, RESET, PING, PONG, GOAWAY, NOTICE, CHALLENGE, PROOF = range(1, 12)
"""Frame numbers. Retired: none."""

MORE = 1
"""DATA flag: the message goes on in the stream's next DATA frame."""
FIN = 2
"""DATA flag: the sender's side of the stream is over. With no bytes and no MORE: no message."""
EMPTY = 4
"""DATA flag: the frame carries no message, only FIN."""

MAX_FRAME = 16 * 1024
"""Bytes of msgpack in a frame; one TLS record holds about one full frame."""
MAX_PAYLOAD = MAX_FRAME - 64
"""Bytes of a message in one DATA frame; the rest of the frame is its head."""
MAX_MESSAGE = 1024 * 1024
"""Bytes of one message on a stream, in as many frames as it takes."""
INITIAL_CREDIT = 256 * 1024
"""Credit a stream starts with in each direction."""
DATA_COST = 64
"""Credit a DATA frame costs beyond its bytes, so that empty messages are bounded too."""
MIN_FRAGMENT = 1024
"""A message is not cut into frames smaller than this to use up the last credit."""
MAX_STREAMS = 2048
"""Streams that one side may have open at once on a link."""
MAX_UNREAD = 8 * 1024 * 1024
"""Bytes all streams of a link may hold unread; beyond it the fullest stream is reset."""
MAX_UNSENT_STREAM = 32 * 1024
"""Bytes a stream may have queued before `send` waits."""
MAX_UNSENT = 1024 * 1024
"""Bytes a link may have queued before `send` waits on every stream that has something queued."""
MAX_CONTROL = 64 * 1024
"""Bytes of control frames queued to a peer that does not read; beyond it the link is closed."""
MAX_REASON = 200
"""Characters of a reason or notice; longer ones are cut."""
NONCE_SIZE = 32
MAX_STREAM_ID = 2**53

HEAD = Struct(">I")
_MAX_ITEMS = 64
"""Array or map items at any level of a frame: bounds what a small frame can unpack to."""

_pack = msgpack.Packer(autoreset=True).pack


class ResetCode(IntEnum):
    """Why a stream was reset, as far as the link layer is concerned; applications start at 1."""

    NONE = 0
    REFUSED = 240
    """Nobody serves that kind of stream, or too many are open."""
    FAILED = 241
    """The handler crashed."""
    OVERFLOW = 242
    """Too much lay unread on the link and this stream had the most."""


class GoawayCode(IntEnum):
    """Why a side opens no more streams. From WRONG_MESH on, the link ends at once."""

    CLOSING = 0
    SUPERSEDED = 1
    """Another link between the same two nodes is used from now on."""
    IDLE = 2
    WRONG_MESH = 10
    BAD_PROOF = 11
    NO_VERSION = 12
    SELF = 13
    """The dialler reached itself."""
    CLONED = 14
    """Another node uses the same key (equal or higher boot counter)."""
    RESTARTED = 15
    """A newer boot of the same node has taken over."""
    BUSY = 16
    PROTOCOL = 17
    MEMBERS_ONLY = 18
    """The mesh is closed and the peer has shown no valid grant."""
    REVOKED = 19
    """The peer was removed from the mesh."""


DRAINING = frozenset({GoawayCode.CLOSING, GoawayCode.SUPERSEDED, GoawayCode.IDLE})
"""After these the open streams may come to their end."""


class NoticeCode(IntEnum):
    """What a notice is about."""

    CLONED = 1
    GRANT_REJECTED = 2


def encode_frame(*fields: Any) -> bytes:
    """One frame. Raises WireError when it would be larger than MAX_FRAME."""
    body: bytes = _pack(fields)
    if len(body) > MAX_FRAME:
        raise WireError(f"a frame of {len(body)} bytes is larger than {MAX_FRAME}")
    return HEAD.pack(len(body)) + body


def cut_reason(reason: str) -> str:
    """A reason short enough to travel."""
    return reason[:MAX_REASON]


class FrameDecoder:
    """Cuts a byte stream into frames. Holds at most one incomplete frame."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[list[Any]]:
        """The frames completed by these bytes. Raises WireError; the decoder is then useless."""
        if self._rest:
            data = self._rest + data
        frames: list[list[Any]] = []
        start, end = 0, len(data)
        while end - start >= HEAD.size:
            (size,) = HEAD.unpack_from(data, start)
            if size > MAX_FRAME:
                raise WireError(f"a frame of {size} bytes is larger than {MAX_FRAME}")
            stop = start + HEAD.size + size
            if stop > end:
                break
            frames.append(decode_frame(data[start + HEAD.size : stop]))
            start = stop
        self._rest = data[start:] if start else data
        return frames

    @property
    def buffered(self) -> int:
        """Bytes of the incomplete frame."""
        return len(self._rest)


def decode_frame(body: bytes) -> list[Any]:
    """The fields of one frame, the number first. Raises WireError."""
    try:
        frame = msgpack.unpackb(body, max_array_len=_MAX_ITEMS, max_map_len=_MAX_ITEMS)
    except (ValueError, TypeError, RecursionError):
        raise WireError("a frame is not msgpack") from None
    if not isinstance(frame, list) or len(frame) < 2 or type(frame[0]) is not int:
        raise WireError("a frame is not an array that starts with its number")
    return frame
