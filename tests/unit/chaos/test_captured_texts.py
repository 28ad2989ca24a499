"""A text that crossed a network is found however it was cut up; one that did not is not."""

from __future__ import annotations

import socket
import struct
from random import Random

from chaos.capture import Piece, count_bytes, find, put_together, read_piece

CANARY = b"a canary that sings of secrets"
FLOW = ("45.1.0.10", 5000, "45.2.0.10", 443)
SYN, ACK = 0x02, 0x10


def frame(payload: bytes, number: int = 0, flags: int = ACK, port: int = 5000) -> bytes:
    """TCP over IPv4 over Ethernet, with the head of an options-free segment."""
    tcp = struct.pack("!HHIIBBHHH", port, 443, number % 2**32, 0, 5 << 4, flags, 0, 0, 0)
    return ethernet(6, tcp + payload)


def datagram(payload: bytes) -> bytes:
    return ethernet(17, struct.pack("!HHHH", 5000, 443, 8 + len(payload), 0) + payload)


def ethernet(protocol: int, body: bytes) -> bytes:
    ends = socket.inet_aton(FLOW[0]) + socket.inet_aton(FLOW[2])
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 64, protocol, 0) + ends
    return bytes(12) + b"\x08\x00" + ip + body


def cut(text: bytes, size: int, first: int = 1) -> list[bytes]:
    return [frame(text[at : at + size], first + at) for at in range(0, len(text), size)]


def test_a_text_within_one_packet_is_found() -> None:
    assert find([frame(b"POST / HTTP/1.1\r\n\r\n" + CANARY, 77)], CANARY) == [FLOW]


def test_a_text_over_many_packets_is_found_only_by_putting_them_together() -> None:
    pieces = cut(b"before " + CANARY + b" after", 3)
    assert not any(CANARY in piece for piece in pieces)
    assert find(pieces, CANARY) == [FLOW]


def test_order_repeats_and_overlaps_do_not_hide_it() -> None:
    text = b"before " + CANARY + b" after"
    pieces = [*cut(text, 4), *cut(text, 7), *cut(text, 5)[:3]]
    Random(1).shuffle(pieces)
    assert find(pieces, CANARY) == [FLOW]


def test_numbers_that_wrap_around_do_not_hide_it() -> None:
    assert find(cut(b"before " + CANARY, 4, first=2**32 - 9), CANARY) == [FLOW]


def test_the_first_byte_after_a_syn_is_counted_right() -> None:
    opened = read_piece(frame(b"", 99, SYN))
    assert opened == Piece(FLOW, 100, b"")
    assert put_together([Piece(FLOW, 100, b"ab"), Piece(FLOW, 102, b"cd")]) == b"abcd"


def test_a_datagram_is_searched_by_itself() -> None:
    assert find([datagram(CANARY)], CANARY) == [FLOW]
    assert find([datagram(CANARY[:9]), datagram(CANARY[9:])], CANARY) == []


def test_conversations_are_kept_apart() -> None:
    halves = [frame(CANARY[:9], 1, port=5000), frame(CANARY[9:], 10, port=5001)]
    assert find(halves, CANARY) == []


def test_a_text_that_did_not_cross_is_not_found() -> None:
    altered = bytes(byte ^ 1 for byte in CANARY)
    assert find(cut(b"before " + altered + b" after", 5), CANARY) == []


def test_a_gap_within_the_text_is_not_bridged_by_chance() -> None:
    pieces = cut(CANARY, 5)
    assert find([*pieces[:2], *pieces[3:]], CANARY) == []


def test_padding_and_other_protocols_are_left_out() -> None:
    padded = frame(b"ab") + CANARY
    assert find([padded, b"\x00" * 60, ethernet(1, CANARY)], CANARY) == []
    assert count_bytes([padded, datagram(b"abc"), b"short"]) == 5
