"""Two multiplexers, any schedule, any cuts of the bytes: what always holds."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.links.multiplexer import Multiplexer, StreamMoved, StreamOpened
from mesh.links.stream_state import StreamState
from mesh.ports import Priority
from mesh.wire.frames import (
    INITIAL_CREDIT,
    MAX_FRAME,
    MAX_MESSAGE,
    MAX_UNREAD,
    MAX_UNSENT_STREAM,
    RESET,
    FrameDecoder,
)


@dataclass
class End:
    """One side, with what was sent on and read from each stream."""

    core: Multiplexer
    sent: dict[int, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    read: dict[int, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    streams: dict[int, StreamState] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    wire: bytearray = field(default_factory=bytearray)

    def flush(self, limit: int) -> None:
        data, _ = self.core.data_to_send(limit)
        self.wire += data


class Pair:
    """Two ends joined by a pipe that keeps order and loses nothing."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.a = End(Multiplexer(dialler=True))
        self.b = End(Multiplexer(dialler=False))
        self.now = 0.0

    def other(self, end: End) -> End:
        return self.b if end is self.a else self.a

    def open(self, end: End) -> None:
        stream = end.core.open(1, self.rng.choice(list(Priority)))
        end.streams[stream.id] = stream

    def send(self, end: End, size: int) -> None:
        ready = [
            stream
            for stream in end.streams.values()
            if not stream.finishing and stream.failure is None and end.core.has_room(stream)
        ]
        if ready:
            stream = self.rng.choice(ready)
            message = self.rng.randbytes(8)[: min(size, 8)].ljust(size, b".")
            end.core.send(stream, message)
            end.sent[stream.id].append(message)

    def finish(self, end: End) -> None:
        if end.streams:
            end.core.finish(self.rng.choice(list(end.streams.values())))

    def read(self, end: End) -> None:
        if end.streams:
            self._take(end, self.rng.choice(list(end.streams.values())))

    def move(self, end: End, size: int) -> None:
        """Some bytes leave an end and arrive, cut anywhere."""
        if len(end.wire) < size:
            end.flush(size)
        data, target = bytes(end.wire[:size]), self.other(end)
        del end.wire[:size]
        self.now += 0.001
        for event in target.core.receive(data, self.now):
            match event:
                case StreamOpened(stream):
                    target.streams[stream.id] = stream
                case StreamMoved(stream):
                    assert stream.failure is None
        self.check()

    def settle(self) -> None:
        """Read everything until nothing moves any more."""
        for _ in range(10_000):
            for end in (self.a, self.b):
                for stream in list(end.streams.values()):
                    while self._take(end, stream):
                        pass
            moved = False
            for end in (self.a, self.b):
                end.flush(1 << 20)
                moved = moved or bool(end.wire)
                self.move(end, len(end.wire))
            if not moved:
                return
        raise AssertionError("the ends never come to rest")

    def check(self) -> None:
        for end in (self.a, self.b):
            assert end.core.unread <= MAX_UNREAD
            for stream in end.core.streams.values():
                assert 0 <= stream.send_credit <= INITIAL_CREDIT
                assert 0 <= stream.receive_credit <= INITIAL_CREDIT
                assert stream.unread <= INITIAL_CREDIT + MAX_MESSAGE
                assert stream.unsent <= MAX_UNSENT_STREAM + MAX_MESSAGE
            unread = sum(stream.unread for stream in end.core.streams.values())
            assert end.core.unread == unread

    def _take(self, end: End, stream: StreamState) -> bool:
        message = end.core.take(stream)
        if message is not None:
            end.read[stream.id].append(message)
        elif stream.fin_received:
            end.ended.add(stream.id)
        return message is not None


SIZES = st.sampled_from([0, 1, 100, 1000, 16_000, 16_320, 16_321, 40_000, 300_000, MAX_MESSAGE])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("open"), st.booleans(), st.just(0)),
        st.tuples(st.just("send"), st.booleans(), SIZES),
        st.tuples(st.just("finish"), st.booleans(), st.just(0)),
        st.tuples(st.just("read"), st.booleans(), st.just(0)),
        st.tuples(st.just("move"), st.booleans(), st.integers(1, 70_000)),
    ),
    max_size=80,
)


@settings(max_examples=150, deadline=None)
@given(steps=STEPS, seed=st.integers(0, 2**32))
def test_nothing_is_lost_reordered_or_beyond_its_credit(
    steps: list[tuple[str, bool, int]], seed: int
) -> None:
    pair = Pair(Random(seed))
    for action, first, size in steps:
        end = pair.a if first else pair.b
        match action:
            case "open":
                pair.open(end)
            case "send":
                pair.send(end, size)
            case "finish":
                pair.finish(end)
            case "read":
                pair.read(end)
            case "move":
                pair.move(end, size)
    pair.settle()
    for end in (pair.a, pair.b):
        assert pair.other(end).read == {k: v for k, v in end.sent.items() if v}
        finished = {s.id for s in end.streams.values() if s.finishing}
        assert pair.other(end).ended == finished
        assert end.core.unsent == 0
        assert end.core.unread == 0
        assert not end.core.has_data
        over = {s.id for s in end.streams.values() if s.over}
        assert set(end.core.streams) == set(end.streams) - over


@settings(max_examples=100, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_frames_survive_any_cut(data: st.DataObject, seed: int) -> None:
    pair = Pair(Random(seed))
    for _ in range(3):
        pair.open(pair.a)
    for _ in range(6):
        pair.send(pair.a, data.draw(st.integers(0, 50_000)))
    pair.a.flush(1 << 20)
    whole = bytes(pair.a.wire)
    expected = FrameDecoder().feed(whole)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=20)))
    decoder = FrameDecoder()
    pieces = [whole[i:j] for i, j in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    frames = []
    for piece in pieces:
        frames += decoder.feed(piece)
        assert decoder.buffered <= MAX_FRAME + 4
    assert frames == expected


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["open", "send", "move", "move", "reset"]),
            st.booleans(),
            st.integers(1, 70_000),
        ),
        min_size=10,
        max_size=80,
    ),
    seed=st.integers(0, 2**32),
)
def test_resets_at_any_moment_leave_both_ends_in_step(
    steps: list[tuple[str, bool, int]], seed: int
) -> None:
    pair = ResettingPair(Random(seed))
    for action, first, size in steps:
        end = pair.a if first else pair.b
        match action:
            case "open":
                pair.open(end)
            case "send":
                pair.send(end, size)
            case "move":
                pair.move(end, size)
            case "reset" if end.streams:
                end.core.reset(pair.rng.choice(list(end.streams.values())), 5, "enough")
    pair.settle()
    assert set(pair.a.core.streams) == set(pair.b.core.streams)
    for end in (pair.a, pair.b):
        assert end.core.unsent == 0
        assert end.core.unread == 0
        for stream_id in end.core.streams:
            assert pair.other(end).read[stream_id] == end.sent[stream_id]


class ResettingPair(Pair):
    """Streams may fail here."""

    def move(self, end: End, size: int) -> None:
        if len(end.wire) < size:
            end.flush(size)
        data, target = bytes(end.wire[:size]), self.other(end)
        del end.wire[:size]
        for event in target.core.receive(data, self.now):
            if isinstance(event, StreamOpened):
                target.streams[event.stream.id] = event.stream
        self.check()


def test_a_reset_overtakes_queued_data() -> None:
    core = Multiplexer(dialler=True)
    stream = core.open(1, Priority.BULK)
    core.send(stream, b"x" * 500_000)
    core.reset(stream, 3, "stop")
    data, _ = core.data_to_send(1 << 20)
    assert [frame[0] for frame in FrameDecoder().feed(data)][-1] == RESET
    assert len(data) < 100
    assert core.unsent == 0
