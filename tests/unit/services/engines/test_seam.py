"""Stop sequences that begin in text given out before."""

from __future__ import annotations

import pytest

from mesh.jobs import Chunk
from services.engines.seam import Seam


def through(seam: Seam, text: str) -> str:
    """What comes out when the text comes in a character at a time."""
    out = [one.text for letter in text for one in seam.push(Chunk(letter))]
    return "".join([*out, *(one.text for one in seam.flush())])


def shown_by_one_engine(text: str, stop: tuple[str, ...]) -> str:
    """The text up to the first stop sequence that is complete; of equals the longest."""
    for end in range(1, len(text) + 1):
        met = [sequence for sequence in stop if text[:end].endswith(sequence)]
        if met:
            return text[: end - max(map(len, met))]
    return text


@pytest.mark.parametrize("stop", [("end",), ("ee",), ("nde", "d!"), ("e", "end"), ("ende", "nd")])
def test_at_every_place_a_sequence_across_the_seam_ends_the_answer(stop: tuple[str, ...]) -> None:
    text = "the eend ende!"
    whole = shown_by_one_engine(text, stop)
    for cut in range(1, len(text)):
        earlier, later = text[:cut], text[cut:]
        if any(sequence in earlier for sequence in stop):
            continue
        seam = Seam(earlier, stop)
        # The engine that goes on looks for the sequences in its own text only.
        shown = through(seam, shown_by_one_engine(later, stop))
        if seam.stopped:
            assert shown == "" and len(whole) <= cut
        else:
            assert earlier + shown == whole, (cut, earlier)


def test_chunks_are_held_only_while_there_is_doubt() -> None:
    seam = Seam("it is the e", ("end", "else"))
    assert seam.push(Chunk("")) == []
    assert seam.push(Chunk("l")) == []
    assert seam.push(Chunk("f")) == [Chunk(""), Chunk("l"), Chunk("f")]
    assert seam.push(Chunk("nd")) == [Chunk("nd")]
    assert not seam.stopped


def test_nothing_comes_after_the_end() -> None:
    seam = Seam("the e", ("end",))
    assert seam.push(Chunk("nd of it")) == []
    assert seam.stopped
    assert seam.push(Chunk("more")) == []
    assert seam.flush() == []


def test_a_sequence_that_did_not_begin_holds_nothing() -> None:
    assert Seam("the ", ("end",)).push(Chunk("e")) == [Chunk("e")]
