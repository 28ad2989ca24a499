from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from services.engines.demo.facts import FOLDER
from services.engines.demo.tokenizer import (
    CACHED_PIECES,
    FIRST_BYTE,
    FIRST_MERGE,
    Tokenizer,
    split_pieces,
)
from services.engines.demo.training.merges import learn_merges

SHIPPED = Tokenizer.load(FOLDER / "tokenizer.json")


@given(st.text())
def test_any_text_comes_back_unchanged(text: str) -> None:
    assert SHIPPED.decode(SHIPPED.encode(text)) == text


@given(st.text())
def test_pieces_joined_are_the_text(text: str) -> None:
    assert "".join(split_pieces(text)) == text


@given(st.text(alphabet="<|user>/s bot"))
def test_text_never_becomes_a_mark(text: str) -> None:
    assert all(token >= FIRST_BYTE for token in SHIPPED.encode(text))


def test_written_marks_stay_text() -> None:
    assert SHIPPED.decode(SHIPPED.encode("</s><|bot|>")) == "</s><|bot|>"


def test_digits_stand_alone() -> None:
    assert [SHIPPED.token_name(token) for token in SHIPPED.encode("1234")] == list("1234")


def test_lone_surrogates_do_not_fail() -> None:
    assert SHIPPED.decode(SHIPPED.encode("a\ud800b")) == "a?b"


def test_merges_are_learnt_by_frequency() -> None:
    merges = learn_merges(["abab abab abab", "ab", "cd"], FIRST_MERGE + 2)
    a, b = FIRST_BYTE + ord("a"), FIRST_BYTE + ord("b")
    assert merges == [(a, b), (FIRST_MERGE, FIRST_MERGE)]
    assert Tokenizer(merges).encode("abab") == [FIRST_MERGE + 1]


def test_saved_tokenizer_encodes_the_same(tmp_path: Path) -> None:
    SHIPPED.save(tmp_path / "copy.json")
    copy = Tokenizer.load(tmp_path / "copy.json")
    text = "Once upon a time there was an owl, 3 + 4 = 7. 🦉"
    assert copy.encode(text) == SHIPPED.encode(text)
    assert copy.size == SHIPPED.size == 1024


def test_the_cache_of_pieces_is_bounded() -> None:
    tokenizer = Tokenizer([])
    for number in range(CACHED_PIECES + 100):
        tokenizer.encode("".join(chr(97 + int(digit)) for digit in str(number)))
    assert len(tokenizer._cache) == CACHED_PIECES
