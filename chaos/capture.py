"""All that crosses a machine's network, and whether certain bytes are in it.

TCP is put together again before it is searched, so that a text is found however it was cut into
packets; a capture that lost frames says so, since it proves nothing.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from chaos.namespaces import Namespace

ETH_P_ALL: Final = 3
ETHERNET_HEAD: Final = 14
IPV4, TCP, UDP = 0x0800, 6, 17
SOL_PACKET, PACKET_STATISTICS = 263, 6
"""linux/if_packet.h"""
RECEIVE_BUFFER: Final = 8 << 20
MAX_FRAME: Final = 70_000
MAX_BYTES: Final = 256 << 20
"""Kept of one capture; more counts as lost."""
FRAMES_AT_ONCE: Final = 256

Flow = tuple[str, int, str, int]
"""Source address and port, target address and port."""


@dataclass(frozen=True, slots=True)
class Piece:
    """The payload of one packet; `number` is TCP's sequence number, None for UDP."""

    flow: Flow
    number: int | None
    payload: bytes


class Capture:
    """Reads along on one interface of a namespace, as a context manager inside an event loop."""

    def __init__(self, namespace: Namespace, device: str = "eth0") -> None:
        self.frames: list[bytes] = []
        self.lost = 0
        self._bytes = 0
        with namespace.inside():
            self._tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self._tap.bind((device, ETH_P_ALL))
        self._tap.setblocking(False)

    def __enter__(self) -> Capture:
        asyncio.get_running_loop().add_reader(self._tap, self._take)
        return self

    def __exit__(self, *failure: object) -> None:
        self._take()
        asyncio.get_running_loop().remove_reader(self._tap)
        statistics = self._tap.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
        self.lost += struct.unpack("II", statistics)[1]
        self._tap.close()

    def _take(self) -> None:
        for _ in range(FRAMES_AT_ONCE):
            try:
                frame = self._tap.recv(MAX_FRAME)
            except BlockingIOError:
                return
            if self._bytes + len(frame) > MAX_BYTES:
                self.lost += 1
                continue
            self._bytes += len(frame)
            self.frames.append(frame)


def read_piece(frame: bytes) -> Piece | None:
    """What an Ethernet frame carries; None unless that is TCP or UDP over IPv4 (RFC 791, 9293)."""
    if len(frame) < ETHERNET_HEAD + 20 or int.from_bytes(frame[12:14]) != IPV4:
        return None
    total = int.from_bytes(frame[16:18])
    packet = frame[ETHERNET_HEAD : ETHERNET_HEAD + total] if total else frame[ETHERNET_HEAD:]
    protocol, head = packet[9], 4 * (packet[0] & 0x0F)
    source, target = (socket.inet_ntoa(packet[at : at + 4]) for at in (12, 16))
    body = packet[head:]
    if protocol not in (TCP, UDP) or len(body) < (20 if protocol == TCP else 8):
        return None
    flow = (source, int.from_bytes(body[0:2]), target, int.from_bytes(body[2:4]))
    if protocol == UDP:
        return Piece(flow, None, body[8:])
    number = int.from_bytes(body[4:8])
    starts = body[13] & 0x02  # SYN takes a number itself
    return Piece(flow, (number + bool(starts)) % 2**32, body[4 * (body[12] >> 4) :])


def put_together(pieces: Iterable[Piece]) -> bytes:
    """One direction of a TCP connection in order, whatever was sent twice or came out of order.

    What is missing is left out: a text is found when it crossed in whole, wherever it began.
    """
    kept = [piece for piece in pieces if piece.payload and piece.number is not None]
    if not kept:
        return b""
    first = kept[0].number or 0
    text, end = bytearray(), None
    for offset, payload in sorted((_distance(first, p.number or 0), p.payload) for p in kept):
        start = offset if end is None else max(offset, end)
        text += payload[start - offset :]
        end = max(offset + len(payload), start)
    return bytes(text)


def find(frames: Iterable[bytes], needle: bytes) -> list[Flow]:
    """In which directions of which conversations the bytes crossed."""
    streams: dict[Flow, list[Piece]] = defaultdict(list)
    found = []
    for frame in frames:
        piece = read_piece(frame)
        if piece is None:
            continue
        if piece.number is None:
            found += [piece.flow] if needle in piece.payload else []
        else:
            streams[piece.flow].append(piece)
    return found + [flow for flow, pieces in streams.items() if needle in put_together(pieces)]


def count_bytes(frames: Iterable[bytes]) -> int:
    """Payload of TCP and UDP, sent twice or not."""
    return sum(len(piece.payload) for frame in frames if (piece := read_piece(frame)))


def _distance(first: int, number: int) -> int:
    """From the first number seen, negative before it: numbers wrap around."""
    return (number - first + 2**31) % 2**32 - 2**31
