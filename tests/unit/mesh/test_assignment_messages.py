"""Assignment messages: what is sent comes back, and what is no message is refused."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.coverage import CoverageReport, ServiceCoverage
from mesh.errors import WireError
from mesh.ids import NodeId
from mesh.wire.assignment import (
    MAX_ASSIGNED,
    MAX_ASSIGNMENT_MESSAGE,
    MAX_NODES,
    AskCoverage,
    Assign,
    Coverage,
    RunReport,
    Told,
    Unknown,
    decode_answer,
    decode_request,
    encode,
)

A, B = NodeId("a" * 40), NodeId("b" * 40)
SERVICE = ServiceCoverage("chat", "big", "warning", (A,), 2, 1, (B,), ("no node holds model x",))


@pytest.mark.parametrize(
    "request_",
    [Assign(3, 7, (("big", ""), ("org/small:7b", "llama.cpp"))), Assign(0, 0, ()), AskCoverage()],
)
def test_requests_come_back(request_: Assign | AskCoverage) -> None:
    assert decode_request(encode(request_)) == request_


@pytest.mark.parametrize(
    "answer",
    [
        Told(3, 7, True, (RunReport("big", "refused", "too large"), RunReport("s", "serving"))),
        Told(4, 0, False, (), "a newer assignment is followed here"),
        Coverage(CoverageReport((SERVICE,), A, "note")),
        Coverage(CoverageReport()),
        Unknown("this node is no coordinator"),
    ],
)
def test_answers_come_back(answer: Told | Coverage | Unknown) -> None:
    assert decode_answer(encode(answer)) == answer


def test_a_level_of_a_later_version_is_unknown() -> None:
    parts = msgpack.unpackb(encode(Coverage(CoverageReport((SERVICE,)))))
    parts[3][0][2] = "glorious"
    answer = decode_answer(msgpack.packb(parts))
    assert isinstance(answer, Coverage)
    assert answer.report.services[0].level == "unknown"


def test_items_of_a_later_version_are_ignored() -> None:
    parts = msgpack.unpackb(encode(Assign(1, 2, (("m", ""),))))
    parts[3][0].append("later")
    assert decode_request(msgpack.packb([*parts, {"later": 1}])) == Assign(1, 2, (("m", ""),))


def test_a_report_that_is_too_large_loses_its_end_and_says_so() -> None:
    long = tuple("w" * 300 for _ in range(8))
    services = tuple(
        ServiceCoverage(f"s{number}", "m" * 200, "critical", (A,) * 100, 1, 0, (), long)
        for number in range(200)
    )
    data = encode(Coverage(CoverageReport(services, A)))
    assert len(data) <= MAX_ASSIGNMENT_MESSAGE
    answer = decode_answer(data)
    assert isinstance(answer, Coverage)
    kept = answer.report.services
    assert [each.service for each in kept] == [f"s{n}" for n in range(len(kept))]
    assert 5 < len(kept) < 200
    assert f"only the {len(kept)} most pressing of 200" in answer.report.note
    assert len(kept[0].providers) == MAX_NODES


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [1],
        [9, 0],
        [1, -1, 0, []],
        [1, 0, 0],
        [1, 0, 0, [["m"]]],
        [1, 0, 0, [["m", 5]]],
        [1, 0, 0, [["m", ""]] * (MAX_ASSIGNED + 1)],
        [2, 0, 0, True, [], ""],
        "text",
        [[1], 0],
    ],
)
def test_what_is_no_request_is_refused(parts: object) -> None:
    with pytest.raises(WireError):
        decode_request(msgpack.packb(parts))


@pytest.mark.parametrize(
    "parts",
    [
        [1, 0, 0, []],
        [2, 0, 0, 1, [], ""],
        [2, 0, 0, True, [["m", "dancing", ""]], ""],
        [4, None, "", [["s"]]],
        [4, b"short", "", []],
        [5, 5],
    ],
)
def test_what_is_no_answer_is_refused(parts: object) -> None:
    with pytest.raises(WireError):
        decode_answer(msgpack.packb(parts))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_wire_error(data: bytes) -> None:
    for decode in (decode_request, decode_answer):
        try:
            decode(data)
        except WireError:
            continue
