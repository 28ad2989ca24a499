"""Dialogues with one multiplexer: order, fairness, credit, and peers that break the rules."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.errors import StreamReset, WireError
from mesh.links.multiplexer import GoneAway, Multiplexer, Noticed, StreamMoved, StreamOpened
from mesh.ports import Priority
from mesh.wire.frames import (
    CREDIT,
    DATA,
    DATA_COST,
    EMPTY,
    FIN,
    GOAWAY,
    INITIAL_CREDIT,
    MAX_CONTROL,
    MAX_FRAME,
    MAX_MESSAGE,
    MAX_PAYLOAD,
    MAX_REASON,
    MAX_STREAMS,
    MAX_UNREAD,
    MIN_FRAGMENT,
    MORE,
    NOTICE,
    OPEN,
    PING,
    PONG,
    RESET,
    FrameDecoder,
    ResetCode,
    encode_frame,
)


def out(core: Multiplexer, limit: int = 1 << 20) -> list[list[Any]]:
    """The frames that leave."""
    return FrameDecoder().feed(core.data_to_send(limit)[0])


def test_a_request_and_its_answer_as_frames() -> None:
    dialler, dialled = Multiplexer(dialler=True), Multiplexer(dialler=False)
    stream = dialler.open(3, Priority.CONTROL)
    dialler.send(stream, b"ping")
    dialler.finish(stream)
    data, _ = dialler.data_to_send(1 << 20)
    assert FrameDecoder().feed(data) == [[OPEN, 1, 3, 0], [DATA, 1, FIN, b"ping"]]

    events = dialled.receive(data, 0.0)
    assert [type(event) for event in events] == [StreamOpened, StreamMoved]
    far = events[0].stream  # type: ignore[union-attr]
    assert (far.id, far.kind, far.priority) == (1, 3, Priority.CONTROL)
    assert dialled.take(far) == b"ping"
    assert dialled.take(far) is None
    assert far.fin_received
    dialled.finish(far)
    assert out(dialled) == [[DATA, 1, FIN | EMPTY, b""]]
    assert dialled.streams == {}


def test_control_overtakes_chunks_and_chunks_overtake_bulk() -> None:
    core = Multiplexer(dialler=True)
    streams = [core.open(1, priority) for priority in reversed(Priority)]
    out(core)
    for stream in streams:
        core.send(stream, b"x" * 30_000)
    order = [frame[1] for frame in out(core)]
    control, chunk, bulk = streams[2].id, streams[1].id, streams[0].id
    assert order == [control] * 2 + [chunk] * 2 + [bulk] * 2


def test_a_late_control_message_leaves_before_queued_bulk() -> None:
    core = Multiplexer(dialler=True)
    bulk, control = core.open(1, Priority.BULK), core.open(1, Priority.CONTROL)
    core.send(bulk, b"x" * 200_000)
    out(core, 20_000)
    core.send(control, b"now")
    assert out(core, 20_000)[0][1] == control.id


def test_streams_of_a_class_take_turns() -> None:
    core = Multiplexer(dialler=True)
    streams = [core.open(1, Priority.CHUNK) for _ in range(3)]
    out(core)
    for stream in streams:
        core.send(stream, b"x" * (3 * MAX_PAYLOAD))
    assert [frame[1] for frame in out(core)] == [1, 3, 5] * 3


def test_no_frame_is_larger_than_the_limit() -> None:
    core = Multiplexer(dialler=True)
    stream = core.open(1, Priority.CHUNK)
    core.send(stream, b"x" * 100_000)
    data, _ = core.data_to_send(1 << 20)
    sizes = [len(encode_frame(*frame)) - 4 for frame in FrameDecoder().feed(data)]
    assert max(sizes) <= MAX_FRAME
    with pytest.raises(WireError):
        encode_frame(DATA, 1, 0, b"x" * MAX_FRAME)


def test_a_sender_without_credit_waits_and_goes_on_with_it() -> None:
    core = Multiplexer(dialler=True)
    stream = core.open(1, Priority.CHUNK)
    core.send(stream, b"x" * MAX_MESSAGE)
    sent = sum(len(frame[3]) + DATA_COST for frame in out(core) if frame[0] == DATA)
    assert INITIAL_CREDIT - MIN_FRAGMENT - DATA_COST < sent <= INITIAL_CREDIT
    assert out(core) == []
    core.receive(encode_frame(CREDIT, stream.id, 10_000), 0.0)
    (frame,) = out(core)
    assert len(frame[3]) <= 10_000


def test_room_is_bounded_by_stream() -> None:
    core = Multiplexer(dialler=True)
    stream = core.open(1, Priority.CHUNK)
    core.send(stream, b"x" * MAX_MESSAGE)
    assert not core.has_room(stream)
    assert core.has_room(core.open(1, Priority.CHUNK))
    with pytest.raises(WireError):
        core.send(stream, b"x" * (MAX_MESSAGE + 1))


def test_pings_are_answered_once_however_many_come() -> None:
    core = Multiplexer(dialler=False)
    for token in range(1000):
        core.receive(encode_frame(PING, token + 1), 0.0)
    assert out(core) == [[PONG, 1000]]


def test_round_trips_are_smoothed() -> None:
    core = Multiplexer(dialler=True)
    core.ping(10.0)
    core.ping(10.1)
    ((_, token),) = out(core)
    core.receive(encode_frame(PONG, token), 10.2)
    assert core.rtt == pytest.approx(0.2)
    core.ping(11.0)
    core.receive(encode_frame(PONG, token), 11.5)  # an old answer says nothing
    assert core.ping_sent == 11.0
    core.receive(encode_frame(PONG, token + 1), 12.0)
    assert core.rtt == pytest.approx(0.3)


def test_newer_frames_fields_and_classes_are_ignored() -> None:
    core = Multiplexer(dialler=False)
    events = core.receive(
        encode_frame(99, "new") + encode_frame(OPEN, 1, 3, 9, "new") + encode_frame(PING, 5, "new"),
        0.0,
    )
    (event,) = events
    assert isinstance(event, StreamOpened)
    assert event.stream.priority == Priority.BULK


def test_goaway_and_notice_are_told_with_short_reasons() -> None:
    core = Multiplexer(dialler=False)
    events = core.receive(encode_frame(GOAWAY, 2, "x" * 500) + encode_frame(NOTICE, 1, "look"), 0.0)
    assert events == [GoneAway(2, "x" * MAX_REASON), Noticed(1, "look")]
    assert core.got_goaway
    assert not core.drained
    core.go_away(2, "agreed")
    assert core.drained


def test_frames_that_crossed_with_a_reset_are_harmless() -> None:
    core = Multiplexer(dialler=True)
    stream = core.open(1, Priority.CHUNK)
    core.reset(stream, 1, "")
    assert (
        core.receive(
            encode_frame(DATA, 1, 0, b"late")
            + encode_frame(CREDIT, 1, 5)
            + encode_frame(RESET, 1, 0, "too"),
            0.0,
        )
        == []
    )


def test_more_streams_than_allowed_are_refused_one_by_one() -> None:
    core = Multiplexer(dialler=False)
    for number in range(MAX_STREAMS + 1):
        core.receive(encode_frame(OPEN, 2 * number + 1, 1, 1), 0.0)
    assert len(core.streams) == MAX_STREAMS
    ((kind, stream_id, code, _),) = out(core)
    assert (kind, stream_id, code) == (RESET, 2 * MAX_STREAMS + 1, ResetCode.REFUSED)


def test_own_streams_are_bounded_too() -> None:
    core = Multiplexer(dialler=True)
    for _ in range(MAX_STREAMS):
        core.open(1, Priority.CHUNK)
        out(core)
    with pytest.raises(StreamReset, match="streams are open"):
        core.open(1, Priority.CHUNK)


def test_the_fullest_stream_pays_when_too_much_lies_unread() -> None:
    core = Multiplexer(dialler=False)
    full = INITIAL_CREDIT // (MAX_PAYLOAD + DATA_COST)
    streams = 0
    failed: list[StreamMoved] = []
    while not failed:
        stream_id = 2 * streams + 1
        streams += 1
        core.receive(encode_frame(OPEN, stream_id, 1, 1), 0.0)
        for _ in range(full):
            events = core.receive(encode_frame(DATA, stream_id, 0, b"x" * MAX_PAYLOAD), 0.0)
            failed += [e for e in events if isinstance(e, StreamMoved) and e.stream.failure]
    assert len(failed) == 1
    assert failed[0].stream.failure is not None
    assert failed[0].stream.failure[0] == ResetCode.OVERFLOW
    assert core.unread <= MAX_UNREAD
    assert len(core.streams) == streams - 1


def test_a_peer_that_asks_and_never_reads_is_cut_off() -> None:
    core = Multiplexer(dialler=False)
    number = 1
    with pytest.raises(WireError, match="does not read"):
        while True:
            core.receive(encode_frame(OPEN, number, 1, 1), 0.0)
            if stream := core.streams.get(number):
                core.reset(stream, ResetCode.REFUSED, "nobody serves this")
            number += 2
            assert core._queue.control_size < 2 * MAX_CONTROL


OPENED = encode_frame(OPEN, 1, 1, 1)
FULL = b"".join(encode_frame(DATA, 1, 0, b"x" * MAX_PAYLOAD) for _ in range(17))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xff\xff\xff\xff", "larger than"),
        (b"GET / HTTP/1.1\r\n\r\n", "larger than"),
        (b"\x00\x00\x00\x01\xc1", "not msgpack"),
        (b"\x00\x00\x00\x01\x05", "not an array"),
        (b"\x00\x00\x00\x02\x91\x05", "not an array"),
        (encode_frame("x", 1), "not an array"),
        (encode_frame(OPEN, 2, 1, 1), "may not use"),
        (OPENED + OPENED, "may not use"),
        (encode_frame(OPEN, 0, 1, 1), "malformed"),
        (encode_frame(OPEN, 2**60 + 1, 1, 1), "malformed"),
        (encode_frame(OPEN, 1, -1, 1), "malformed"),
        (encode_frame(OPEN, 1), "malformed"),
        (encode_frame(DATA, 1, 0, b""), "never opened"),
        (encode_frame(DATA, 2, 0, b""), "never opened"),
        (encode_frame(CREDIT, 7, 1), "never opened"),
        (encode_frame(DATA, [], 0, b""), "malformed"),
        (OPENED + encode_frame(DATA, 1, "", b""), "malformed"),
        (OPENED + encode_frame(DATA, 1, 0, "text"), "malformed"),
        (OPENED + encode_frame(DATA, 1, MORE, b"tiny"), "too small"),
        (OPENED + encode_frame(DATA, 1, MORE | FIN, b"x" * 2000), "middle"),
        (OPENED + encode_frame(DATA, 1, EMPTY, b""), "middle"),
        (OPENED + encode_frame(DATA, 1, FIN, b"") + encode_frame(DATA, 1, 0, b""), "after its end"),
        (OPENED + FULL, "more than its credit"),
        (OPENED + encode_frame(CREDIT, 1, 1), "more credit"),
        (OPENED + encode_frame(CREDIT, 1, -1), "malformed"),
        (OPENED + encode_frame(RESET, 1, "x", ""), "malformed"),
        (encode_frame(PING, "x"), "malformed"),
        (encode_frame(GOAWAY, 1, 2), "malformed"),
        (encode_frame(NOTICE, 2**40, ""), "malformed"),
    ],
)
def test_a_peer_that_breaks_a_rule_is_told_apart(data: bytes, reason: str) -> None:
    with pytest.raises(WireError, match=reason):
        Multiplexer(dialler=False).receive(data, 0.0)


def test_a_message_larger_than_the_limit_is_cut_off() -> None:
    core = Multiplexer(dialler=False)
    core.receive(OPENED, 0.0)
    with pytest.raises(WireError, match="a message is larger"):
        for _ in range(MAX_MESSAGE // MAX_PAYLOAD + 2):
            core.receive(encode_frame(DATA, 1, MORE, b"x" * MAX_PAYLOAD), 0.0)
            out(core)


def test_a_small_frame_cannot_unpack_to_much() -> None:
    nested = b"\xdd\x00\x00\x3f\xff" * 1000
    with pytest.raises(WireError):
        FrameDecoder().feed(len(nested).to_bytes(4, "big") + nested)
