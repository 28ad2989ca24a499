"""What holders and keepers of doors say to each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import WireError
from mesh.wire import door as wire

REQUESTS: tuple[wire.Request, ...] = (
    wire.Register(),
    wire.Register("alice"),
    wire.Incoming(b"t" * 16, "alice.mesh.example", "203.0.113.7"),
)
ANSWERS: tuple[wire.Answer, ...] = (
    wire.Registered("alice.mesh.example", 443),
    wire.Accepted(),
    wire.Refused("another node holds that name"),
)


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda each: type(each).__name__)
def test_requests_survive_the_wire(request_: wire.Request) -> None:
    assert wire.decode_request(wire.encode_request(request_)) == request_


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda each: type(each).__name__)
def test_answers_survive_the_wire(answer: wire.Answer) -> None:
    assert wire.decode_answer(wire.encode_answer(answer)) == answer


def test_long_texts_are_cut_or_refused() -> None:
    kept = wire.decode_answer(wire.encode_answer(wire.Refused("x" * 5_000)))
    assert kept == wire.Refused("x" * wire.MAX_REASON)
    with pytest.raises(WireError):
        wire.decode_request(wire.encode_request(wire.Register("x" * 64)))
    with pytest.raises(WireError):
        wire.decode_answer(wire.encode_answer(wire.Registered("x" * 254, 443)))


@given(st.binary(max_size=64))
def test_whatever_comes_is_understood_or_refused(data: bytes) -> None:
    for decode in (wire.decode_request, wire.decode_answer):
        try:
            decode(data)
        except WireError:
            continue


@given(st.sampled_from(REQUESTS), st.integers(0, 60), st.integers(0, 255))
def test_a_changed_byte_is_understood_or_refused(
    request_: wire.Request, at: int, value: int
) -> None:
    data = bytearray(wire.encode_request(request_))
    data[at % len(data)] = value
    try:
        wire.decode_request(bytes(data))
    except WireError:
        return
