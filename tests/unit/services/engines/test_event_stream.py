"""Server-sent events and lines: the same, however the bytes are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import EngineError
from services.engines.lines import LineSplitter
from services.engines.sse import EventParser

STREAM = (
    b": keep-alive\r\n\r\n"
    b"data: one\n\n"
    b"data:two\r\n\r\n"
    b"event: x\nid: 7\nretry: 10\ndata: three\ndata: more\n\n"
    b"data:  indented\n\n"
    b"data:\n\n"
    b"\n\n\n"
    b"data: [DONE]\n\n"
    b"data: cut off by the end\n"
)
EVENTS = [b"one", b"two", b"three\nmore", b" indented", b"", b"[DONE]"]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@given(st.lists(st.integers(0, 1000), max_size=30))
def test_events_do_not_depend_on_where_the_bytes_are_cut(places: list[int]) -> None:
    parser = EventParser()
    assert [event for piece in cut(STREAM, places) for event in parser.feed(piece)] == EVENTS


@given(
    st.lists(st.binary(max_size=20).map(lambda b: b.replace(b"\n", b"").rstrip(b"\r"))), st.data()
)
def test_lines_do_not_depend_on_where_the_bytes_are_cut(
    lines: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(line + b"\n" for line in lines) + b"rest"
    places = data.draw(st.lists(st.integers(0, len(stream)), max_size=10))
    splitter = LineSplitter()
    assert [line for piece in cut(stream, places) for line in splitter.feed(piece)] == lines
    assert splitter.rest() == b"rest"


@pytest.mark.parametrize("flood", [b"data: " + b"x" * 10, b"data: x\n" * 10, b"x" * 10])
def test_an_event_without_end_is_an_error(flood: bytes) -> None:
    parser = EventParser(limit=1000)
    with pytest.raises(EngineError, match="more than 1000 bytes"):
        for _ in range(1000):
            parser.feed(flood)
