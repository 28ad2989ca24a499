"""Tickets: one line that can be pasted, and that says what is wrong with it when it was not."""

from __future__ import annotations

from dataclasses import replace

import msgpack
import pytest
import segno
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import RecordRejected, WireError
from mesh.identity.grants import CLOCK_TOLERANCE
from mesh.identity.keys import NodeKey, RootKey
from mesh.identity.ticket import (
    MAX_CONTACTS,
    MAX_TEXT,
    PREFIX,
    SECRET_SIZE,
    Contact,
    Ticket,
    check_ticket,
    decode_ticket,
    encode_ticket,
    secret_digest,
)
from mesh.identity.ticket_qr import BORDER, render_qr

ROOT = RootKey.generate()
CONTACT = Contact(NodeKey.generate().node_id, ("tcp://192.168.1.20:7718", "wss://a.example/mesh"))
TICKET = Ticket(ROOT.public_key, ("worker", "gateway"), (CONTACT,), 1_800_000_000)
LINE = encode_ticket(TICKET)


def reject(text: str) -> str:
    with pytest.raises(RecordRejected) as caught:
        decode_ticket(text)
    return str(caught.value)


def test_a_ticket_comes_back_from_its_line() -> None:
    assert decode_ticket(LINE) == replace(TICKET, roles=("gateway", "worker"))
    assert decode_ticket(f"  {LINE.upper()}\n") == decode_ticket(LINE)
    assert LINE.startswith(PREFIX) and " " not in LINE and len(LINE) < 300
    assert TICKET.mesh_id == ROOT.mesh_id


def test_a_full_ticket_fits() -> None:
    many = tuple(
        Contact(NodeKey.generate().node_id, ("tcp://203.0.113.7:7718",) * 4)
        for _ in range(MAX_CONTACTS)
    )
    assert decode_ticket(encode_ticket(replace(TICKET, contacts=many))).contacts == many


def test_every_truncation_is_told_from_a_slip() -> None:
    for length in range(len(PREFIX), len(LINE)):
        assert "cut off" in reject(LINE[:length]), length
    assert "mistyped" in reject(LINE + "aaaaaaaa")


@given(st.integers(len(PREFIX) + 5, len(LINE) - 1), st.sampled_from("abcdefghijklmnop234567"))
def test_a_wrong_letter_is_noticed(place: int, letter: str) -> None:
    if LINE[place] != letter:
        words = reject(LINE[:place] + letter + LINE[place + 1 :])
        assert "mistyped" in words or "cut off" in words


def test_every_other_last_letter_is_noticed() -> None:
    for letter in set("abcdefghijklmnopqrstuvwxyz234567") - {LINE[-1]}:
        assert "mistyped" in reject(LINE[:-1] + letter)


def test_signs_that_cannot_be_there_are_a_slip() -> None:
    assert "mistyped" in reject(LINE[:40] + "1" + LINE[41:])
    assert "newer release" in reject(PREFIX + "b" + LINE[len(PREFIX) + 1 :])
    assert "starts with" in reject("electrons-grant-abc")
    assert "too long" in reject(PREFIX + "a" * (MAX_TEXT + 1))


@given(st.text(max_size=200))
def test_other_text_only_ever_rejects(text: str) -> None:
    reject(text)
    reject(PREFIX + text)


def test_an_expired_ticket_is_told_so() -> None:
    check_ticket(TICKET, now_wall=TICKET.expires + CLOCK_TOLERANCE - 1)
    with pytest.raises(RecordRejected, match="expired"):
        check_ticket(TICKET, now_wall=TICKET.expires + CLOCK_TOLERANCE + 1)


@pytest.mark.parametrize(
    "wrong",
    [
        replace(TICKET, contacts=()),
        replace(TICKET, contacts=(CONTACT,) * (MAX_CONTACTS + 1)),
        replace(TICKET, contacts=(replace(CONTACT, addresses=()),)),
        replace(TICKET, contacts=(replace(CONTACT, addresses=("tcp://a:1",) * 5),)),
        replace(TICKET, roles=()),
        replace(TICKET, contacts=(replace(CONTACT, addresses=("x" * 250,) * 4),) * 8),
    ],
)
def test_tickets_beyond_their_bounds_are_not_written(wrong: Ticket) -> None:
    with pytest.raises(WireError):
        encode_ticket(wrong)


def test_a_ticket_of_another_root_names_another_mesh() -> None:
    other = replace(TICKET, root_key=RootKey.generate().public_key)
    assert decode_ticket(encode_ticket(other)).mesh_id != TICKET.mesh_id


def test_secrets_differ_stay_out_of_logs_and_are_kept_as_digests() -> None:
    another = Ticket(ROOT.public_key, ("worker",), (CONTACT,), TICKET.expires)
    assert another.secret != TICKET.secret and len(another.secret) == SECRET_SIZE
    assert TICKET.secret.hex() not in repr(TICKET) and str(TICKET.secret) not in repr(TICKET)
    assert len(secret_digest(TICKET.secret)) == 64
    assert secret_digest(TICKET.secret) != secret_digest(another.secret)
    assert TICKET.secret not in msgpack.packb(secret_digest(TICKET.secret))


def test_the_qr_code_on_the_terminal_is_the_ticket() -> None:
    lines = render_qr(LINE, colour=False).splitlines()
    code = [list(row) for row in segno.make_qr(LINE.upper(), error="l", boost_error=False).matrix]
    drawn = []
    for line in lines:
        drawn.append([sign in " ▄" for sign in line])
        drawn.append([sign in " ▀" for sign in line])
    inner = [row[BORDER : BORDER + len(code)] for row in drawn[BORDER : BORDER + len(code)]]
    assert inner == [[bool(module) for module in row] for row in code]
    assert max(map(len, lines)) <= 78, "fits a terminal of 80 columns"
    assert not any(drawn[0]) and not any(row[0] for row in drawn), "a light border all around"
    coloured = render_qr(LINE)
    assert all(line.startswith("\x1b[97;40m") for line in coloured.splitlines())
