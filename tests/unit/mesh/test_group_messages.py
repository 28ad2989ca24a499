"""What members say to each other besides consensus messages: exact, bounded, and hostile bytes."""

from __future__ import annotations

from random import Random

import msgpack
import pytest

from mesh.consensus import MAX_COMMAND, MAX_STANDBYS, MAX_VOTERS, GroupReport, Members
from mesh.errors import WireError
from mesh.ids import NodeId
from mesh.wire.group import (
    MAX_OUTCOME,
    MAX_REASON,
    MAX_REPORT,
    MAX_REQUEST,
    Answer,
    Applied,
    AskLevel,
    AskReport,
    Doubtful,
    Elsewhere,
    Index,
    Level,
    Membership,
    Propose,
    ReadIndex,
    Refused,
    Request,
    decode_answer,
    decode_request,
    encode_answer,
    encode_request,
)


def name(number: int) -> NodeId:
    return NodeId(f"{number:040x}")


EVERYONE = tuple(name(number) for number in range(MAX_VOTERS + MAX_STANDBYS))
LARGEST = GroupReport(
    group="ab" * 16,
    reporter=name(0),
    leader=name(1),
    term=2**63 - 1,
    members=Members(EVERYONE[:MAX_VOTERS], EVERYONE[MAX_VOTERS:]),
    commit=2**63 - 1,
    applied=2**62,
    lag={node: 2**62 + number for number, node in enumerate(EVERYONE)},
    silent=EVERYONE,
)
REQUESTS: list[Request] = [
    Membership("0f" * 16),
    Propose(b""),
    Propose(bytes(MAX_COMMAND)),
    ReadIndex(),
    AskReport(),
    AskLevel(),
]
ANSWERS: list[Answer] = [
    Applied(b"outcome"),
    Applied(bytes(MAX_OUTCOME)),
    Index(0),
    Index(2**63 - 1),
    Elsewhere(None),
    Elsewhere(name(3)),
    Refused("no"),
    Doubtful(),
    GroupReport("cd" * 16, name(1), None, 0),
    LARGEST,
    Level(2),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda each: type(each).__name__)
def test_a_request_comes_back_as_it_was(request_: Request) -> None:
    data = encode_request(request_)
    assert len(data) <= MAX_REQUEST
    assert decode_request(data) == request_


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda each: type(each).__name__)
def test_an_answer_comes_back_as_it_was(answer: Answer) -> None:
    data = encode_answer(answer)
    assert len(data) <= MAX_REPORT
    assert decode_answer(data) == answer


def test_a_long_reason_is_cut() -> None:
    answer = decode_answer(encode_answer(Refused("é" * 10_000)))
    assert answer == Refused("é" * MAX_REASON)


def test_what_a_later_version_adds_is_ignored() -> None:
    for request in REQUESTS:
        parts = [*msgpack.unpackb(encode_request(request)), "new", 7]
        assert decode_request(msgpack.packb(parts)) == request
    for answer in ANSWERS:
        parts = [*msgpack.unpackb(encode_answer(answer)), "new", 7]
        assert decode_answer(msgpack.packb(parts)) == answer


BAD_REQUESTS = [
    [],
    [0],
    [1],
    [2],
    [6, b""],
    [99, b""],
    [-1],
    [True],
    ["1", bytes(16)],
    [1, bytes(15)],
    [1, bytes(17)],
    [1, "ab" * 8],
    [1, None],
    [2, "text"],
    [2, bytes(MAX_COMMAND + 1)],
]
NODE = bytes(20)
GOOD_REPORT = [bytes(16), NODE, None, 1, [NODE], [], 1, 1, [[NODE, 1]], [NODE]]


def spoilt(place: int, value: object) -> list[object]:
    report: list[object] = list(GOOD_REPORT)
    report[place] = value
    return [19, report]


BAD_ANSWERS = [
    [],
    [17],
    [17, "text"],
    [17, bytes(MAX_OUTCOME + 1)],
    [18, -1],
    [18, 2**63],
    [18, True],
    [19, None],
    [19, GOOD_REPORT[:9]],
    [20, b"short"],
    [21, "x" * (MAX_REASON + 1)],
    [21, b"bytes"],
    [23, None],
    [1, bytes(16)],
    spoilt(0, bytes(15)),
    spoilt(1, None),
    spoilt(2, 5),
    spoilt(3, -1),
    spoilt(4, [NODE] * (MAX_VOTERS + 1)),
    spoilt(5, [NODE] * (MAX_STANDBYS + 1)),
    spoilt(6, 1.5),
    spoilt(8, [[NODE]]),
    spoilt(8, [NODE]),
    spoilt(8, [[NODE, 1]] * (MAX_VOTERS + MAX_STANDBYS + 1)),
    spoilt(8, [[NODE, -1]]),
    spoilt(9, {}),
]


@pytest.mark.parametrize("parts", BAD_REQUESTS, ids=str)
def test_bad_requests_are_refused(parts: list[object]) -> None:
    with pytest.raises(WireError):
        decode_request(msgpack.packb(parts))


@pytest.mark.parametrize("parts", BAD_ANSWERS, ids=lambda parts: str(parts)[:40])
def test_bad_answers_are_refused(parts: list[object]) -> None:
    with pytest.raises(WireError):
        decode_answer(msgpack.packb(parts))


@pytest.mark.parametrize("seed", range(20))
def test_any_bytes_are_a_message_or_an_error_of_the_wire(seed: int) -> None:
    rng = Random(seed)
    good = [encode_request(each) for each in REQUESTS if each != Propose(bytes(MAX_COMMAND))]
    good += [encode_answer(each) for each in ANSWERS]
    for _ in range(200):
        data = bytearray(rng.choice(good))
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        for decode in (decode_request, decode_answer):
            try:
                decode(bytes(data[: rng.randint(0, len(data))] if rng.random() < 0.3 else data))
            except WireError:
                continue
