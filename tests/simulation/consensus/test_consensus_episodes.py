"""A thousand seeded episodes of a group that suffers: no promise is ever broken.

A failing seed is in the test's message; `python -m chaos.consensus --first SEED --seeds 1` repeats
it.
"""

from __future__ import annotations

import pytest

from chaos.consensus.episode import Outcome, run_episode
from chaos.consensus.nemesis import PROFILES

CHUNK = 100
CHUNKS = 10


def run_all(first: int) -> list[Outcome]:
    return [run_episode(seed) for seed in range(first, first + CHUNK)]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", range(0, CHUNK * CHUNKS, CHUNK))
def test_no_promise_is_broken(first: int) -> None:
    outcomes = run_all(first)
    broken = [(outcome.seed, outcome.broken) for outcome in outcomes if outcome.broken]
    assert broken == []
    # They did something: elections, commits, and calls that were answered.
    assert sum(outcome.terms for outcome in outcomes) > 3 * CHUNK
    assert sum(outcome.committed for outcome in outcomes) > 15 * CHUNK
    assert sum(outcome.done for outcome in outcomes) > 15 * CHUNK


@pytest.mark.parametrize("profile", list(PROFILES))
def test_every_profile_can_be_repeated(profile: str) -> None:
    chosen = next(name for name in PROFILES if name == profile)
    assert run_episode(8, profile=chosen) == run_episode(8, profile=chosen)
