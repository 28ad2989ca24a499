"""Room on a machine: bytes, cards, best fit."""

from __future__ import annotations

import pytest

from mesh.capability import Gpu, Resources
from mesh.room import NO_CARD, Need, Room, fits, say_bytes


def room(memory: int, *cards: int) -> Room:
    return Room(Resources(1.0, memory, tuple(Gpu("card", size) for size in cards)))


def test_a_model_lies_on_one_card() -> None:
    assert room(10, 8, 8).has(Need(1, 8))
    assert not room(10, 8, 8).has(Need(1, 9))
    assert not room(10).has(Need(1, 1))
    assert not room(10, 8).has(Need(11, 8))


def test_the_fullest_card_that_has_room_is_taken() -> None:
    free = room(100, 24, 10, 16)
    assert free.take("a", Need(1, 9)) == 1
    assert free.take("b", Need(1, 9)) == 2
    assert free.take("c", Need(1, 9)) == 0
    assert free.cards == [15, 1, 7]


def test_a_model_counts_once() -> None:
    free = room(10)
    free.take("a", Need(6))
    assert free.has(Need(6), "a")
    assert free.take("a", Need(6)) == NO_CARD
    assert free.memory == 4


def test_what_runs_counts_even_where_it_does_not_fit() -> None:
    free = room(4, 6, 8)
    assert free.take("a", Need(5, 9)) == 1
    assert (free.memory, free.cards) == (-1, [6, -1])
    assert room(4).take("a", Need(1, 9)) == NO_CARD


def test_a_model_is_put_where_it_is_known_to_lie() -> None:
    free = room(10, 8, 8)
    free.take_on("a", Need(1, 5), 1)
    free.take_on("b", Need(1, 5), 7)
    assert (free.memory, free.cards) == (8, [8, 3])


def test_fits_is_about_the_empty_machine() -> None:
    machine = Resources(1.0, 10, (Gpu("card", 8),))
    assert fits(machine, Need(10, 8))
    assert not fits(machine, Need(11))
    assert not fits(machine, Need(1, 9))


@pytest.mark.parametrize(
    ("size", "words"),
    [(14 * 2**30, "14 GiB"), (3 * 2**29, "1.5 GiB"), (2**40, "1 TiB"), (5, "5 bytes")],
)
def test_sizes_are_said_in_binary_units(size: int, words: str) -> None:
    assert say_bytes(size) == words
