"""Mistakes put in on purpose are found: the checkers can see what they are there for."""

from __future__ import annotations

import pytest

from chaos.consensus.episode import run_episode
from chaos.consensus.faults import FAULTS, Fault
from coordinator.consensus import election

MOST_SEEDS = 600
"""Episodes within which each must be found."""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_mistake_is_found(fault: Fault) -> None:
    for seed in range(MOST_SEEDS):
        broken = run_episode(seed, fault).broken
        if broken is not None:
            print(f"{fault.name}: seed {seed}: {broken}")
            assert run_episode(seed, profile=fault.profile).broken is None
            return
    pytest.fail(f"{fault.name} was not found in {MOST_SEEDS} episodes")


def test_a_mistake_does_not_stay() -> None:
    right = election.may_vote
    fault = next(fault for fault in FAULTS if (election, "may_vote") in fault.replaced)
    with fault.installed():
        assert election.may_vote is not right
    assert election.may_vote is right
