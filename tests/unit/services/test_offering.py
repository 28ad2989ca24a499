"""Names, aliases and speeds of what a node offers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.offering import (
    Offered,
    average_speed,
    hidden,
    lay_out,
    resolve,
    speed_matters,
)
from tests.unit.services.scripted_engine import ScriptedEngine

FIRST, SECOND = ScriptedEngine("first", "a", "b"), ScriptedEngine("second", "b", "c")
SHELVES = [(FIRST, FIRST.models, 2), (SECOND, SECOND.models, 4)]


def test_of_two_engines_with_one_name_the_first_wins_and_the_second_is_noted() -> None:
    offered = lay_out(SHELVES)
    assert {name: one.engine.name for name, one in offered.items()} == {
        "a": "first",
        "b": "first",
        "c": "second",
    }
    assert hidden(SHELVES) == ("second: b is already offered by first",)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("a", "a"),
        ("auto", "a"),
        ("gpt-4o-mini", "c"),
        ("chain", "c"),
        ("best", "a"),
        ("c", "c"),
        ("lost", None),
        ("loop", None),
        ("nothing", None),
    ],
)
def test_names_aliases_and_auto(name: str, meant: str | None) -> None:
    aliases = {
        "gpt-4o-mini": "c",
        "chain": "gpt-4o-mini",
        "best": "auto",
        "lost": "gone",
        "loop": "loop",
        "a": "c",  # a model's own name wins
    }
    assert resolve(name, aliases, lay_out(SHELVES)) == meant


def test_auto_means_nothing_where_nothing_is_offered() -> None:
    nothing: dict[str, Offered] = {}
    assert resolve("auto", {}, nothing) is None


@given(st.lists(st.tuples(st.integers(1, 10_000), st.floats(0.01, 1000.0)), min_size=1))
def test_an_average_speed_stays_between_the_extremes(jobs: list[tuple[int, float]]) -> None:
    speed = 0.0
    for tokens, seconds in jobs:
        speed = average_speed(speed, tokens, seconds)
    speeds = [tokens / seconds for tokens, seconds in jobs]
    assert min(speeds) * 0.999 <= speed <= max(speeds) * 1.001


@pytest.mark.parametrize(("tokens", "seconds"), [(0, 1.0), (5, 0.0), (-1, 1.0)])
def test_jobs_that_tell_no_speed_change_none(tokens: int, seconds: float) -> None:
    assert average_speed(12.0, tokens, seconds) == 12.0


@pytest.mark.parametrize(
    ("told", "now", "matters"),
    [(0, 0, False), (0, 5, True), (10, 12, False), (10, 15, True), (10, 5, True)],
)
def test_small_changes_of_speed_are_not_told(told: float, now: float, matters: bool) -> None:
    assert speed_matters(told, now) is matters
