from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.engines.demo.text_stream import TextStream


def read_all(data: bytes, cuts: list[int], stop: tuple[str, ...]) -> str:
    """The text that comes out when the data is cut at these places."""
    stream = TextStream(stop)
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    parts = [data[a:b] for a, b in itertools.pairwise(places)]
    return "".join(stream.push(part) for part in parts) + stream.flush()


def test_a_split_character_waits_for_its_rest() -> None:
    stream = TextStream()
    owl = "🦉".encode()
    assert [stream.push(owl[i : i + 1]) for i in range(4)] == ["", "", "", "🦉"]


def test_half_a_character_at_the_end_is_dropped() -> None:
    stream = TextStream()
    assert stream.push(b"owl" + "🦉".encode()[:2]) == "owl"
    assert stream.flush() == ""


def test_stop_sequence_across_pieces() -> None:
    stream = TextStream(("END",))
    assert [stream.push(part) for part in (b"the E", b"N", b"D and more")] == ["the ", "", ""]
    assert stream.stopped
    assert stream.push(b"later") == stream.flush() == ""


def test_a_doubtful_end_comes_when_it_is_no_stop_sequence() -> None:
    stream = TextStream(("END",))
    assert stream.push(b"EN") == ""
    assert stream.push(b"Q") == "ENQ"
    assert not stream.stopped


def test_held_back_text_comes_at_the_end() -> None:
    stream = TextStream(("END",))
    assert stream.push(b"aEN") == "a"
    assert stream.flush() == "EN"


@pytest.mark.parametrize(("stop", "text"), [(("b", "abc"), "a"), (("abc", "c"), ""), ((), "abcd")])
def test_the_sequence_complete_first_wins(stop: tuple[str, ...], text: str) -> None:
    assert read_all(b"abcd", [], stop) == text


@given(
    st.text(alphabet="abcé🦉"),
    st.lists(st.integers(0, 40)),
    st.lists(st.text(alphabet="abcé🦉", min_size=1, max_size=4), max_size=3),
)
def test_the_text_does_not_depend_on_the_cuts(text: str, cuts: list[int], stop: list[str]) -> None:
    whole = read_all(text.encode(), [], tuple(stop))
    assert read_all(text.encode(), cuts, tuple(stop)) == whole
    assert text.startswith(whole)
    assert not any(sequence in whole for sequence in stop)
    assert whole == text or any(sequence in text for sequence in stop)
