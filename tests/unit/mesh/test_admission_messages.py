"""Messages about admission come back as they were, and nothing else is taken for one."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.admission import AuditRow, Invite, Member, RevokedNode
from mesh.errors import WireError
from mesh.identity.ticket import Contact
from mesh.ids import NodeId
from mesh.wire.admission import (
    AUDIT,
    INVITES,
    MAX_ANSWER,
    MAX_REQUEST,
    MAX_ROWS,
    MEMBERS,
    REVOKED,
    Answer,
    AskDrop,
    AskInvite,
    AskList,
    AskRevoke,
    Elsewhere,
    Granted,
    Redeem,
    Refused,
    Renew,
    Request,
    Rows,
    decode_answer,
    decode_request,
    encode_answer,
    encode_request,
)

A, B = NodeId("a" * 40), NodeId("b" * 40)
DIGEST = "ab" * 32
INVITE = Invite(DIGEST, ("gateway", "worker"), 3, 1, 2e9, A, 1e9, "for Ann", (B,))
MEMBER = Member(B, ("worker",), "0123", 2e9, A, DIGEST, 1e9, 1.5e9)
ROW = AuditRow(7, "joined", 1e9, A, B, "worker by ticket")
REQUESTS: list[Request] = [
    Redeem(bytes(16)),
    Renew(),
    AskInvite(DIGEST, ("worker",), 3, 3600.0, "note"),
    AskDrop(DIGEST[:16]),
    AskRevoke(A, "stolen"),
    AskList(AUDIT, 3, 100),
]
ANSWERS: list[Answer] = [
    Granted(b"grant"),
    Refused("used_up", "words"),
    Elsewhere((Contact(A, ("tcp://10.0.0.1:1",)),)),
    Rows(INVITES, (INVITE,)),
    Rows(MEMBERS, (MEMBER,), False),
    Rows(AUDIT, (ROW,)),
    Rows(REVOKED, (RevokedNode(B, 2e9, A, 1e9, "stolen"),)),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda each: type(each).__name__)
def test_what_is_asked_comes_back(request_: Request) -> None:
    data = encode_request(request_)
    assert len(data) <= MAX_REQUEST
    assert decode_request(data) == request_
    longer = [*msgpack.unpackb(data), "new", 7]
    assert decode_request(msgpack.packb(longer)) == request_


@pytest.mark.parametrize("answer", ANSWERS)
def test_what_is_answered_comes_back(answer: Answer) -> None:
    data = encode_answer(answer)
    assert decode_answer(data) == answer
    longer = [*msgpack.unpackb(data), "new", 7]
    assert decode_answer(msgpack.packb(longer)) == answer


def test_a_long_list_is_cut_and_says_so() -> None:
    row = AuditRow(7, "joined", 1e9, A, B, "x" * 400)
    data = encode_answer(Rows(AUDIT, (row,) * 1000))
    answer = decode_answer(data)
    assert len(data) <= MAX_ANSWER and isinstance(answer, Rows)
    assert 0 < len(answer.rows) < MAX_ROWS and not answer.complete


def test_a_refusal_of_a_later_release_keeps_its_words() -> None:
    data = msgpack.packb([18, "too_tired", "come back tomorrow"])
    assert decode_answer(data) == Refused("wrong", "come back tomorrow")


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [0],
        [1],
        [1, bytes(15)],
        [1, bytes(17)],
        [1, "x" * 16],
        [3, bytes(32), ["worker"], -1, 1.0, ""],
        [3, bytes(31), ["worker"], 1, 1.0, ""],
        [3, bytes(32), ["worker"] * 9, 1, 1.0, ""],
        [3, bytes(32), ["worker"], 1, float("nan"), ""],
        [5, bytes(19), ""],
        [6, 9, 0, 1],
        [6, 1, 0, 513],
        [99],
    ],
)
def test_a_bad_request_is_refused(parts: list[object]) -> None:
    with pytest.raises(WireError):
        decode_request(msgpack.packb(parts))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    for decode in (decode_request, decode_answer):
        try:
            decode(data)
        except WireError:
            continue
