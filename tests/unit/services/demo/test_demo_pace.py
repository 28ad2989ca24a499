from __future__ import annotations

import pytest

from services.engines.demo.pace import MOST_LAG, Pace


def test_the_first_token_never_waits_and_the_rest_are_evenly_spread() -> None:
    pace = Pace(10)
    assert [pace.wait_for(1, 5.0) for _ in range(4)] == pytest.approx([0.0, 0.1, 0.2, 0.3])


def test_late_waking_does_not_shift_the_schedule() -> None:
    pace, now, waits = Pace(50), 0.0, []
    for _ in range(100):
        wait = pace.wait_for(1, now)
        waits.append(now + wait)
        now += wait + 0.004
    assert waits[-1] == pytest.approx(99 / 50)


def test_a_stalled_reader_is_not_flooded() -> None:
    pace = Pace(10)
    pace.wait_for(1, 0.0)
    late = MOST_LAG + 30
    assert [pace.wait_for(1, late) for _ in range(3)] == pytest.approx([0.0, 0.1, 0.2])


def test_a_piece_of_many_tokens_waits_for_all_of_them() -> None:
    assert Pace(10).wait_for(16, 0.0) == pytest.approx(1.5)
