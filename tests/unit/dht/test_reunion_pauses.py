"""How often a node dials those it believes lost."""

from __future__ import annotations

from random import Random

import pytest

from dht.reunion import PAUSE_LEAST, PAUSE_MOST, SHARE, choose_pause


@pytest.mark.parametrize("since", [0.0, 2.0, 10.0, 100.0, 1e6])
def test_pauses_grow_with_the_time_since_the_loss_within_bounds(since: float) -> None:
    pauses = [choose_pause(since, Random(seed)) for seed in range(200)]
    usual = min(PAUSE_MOST, max(PAUSE_LEAST, SHARE * since))
    assert all(usual / 2 <= pause <= usual for pause in pauses)
    assert len(set(pauses)) > 100, "nodes that lost each other together must not dial together"
