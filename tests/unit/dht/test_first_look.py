"""When a node that has just started may say that nobody serves a model."""

from __future__ import annotations

import pytest

from dht.first_look import FirstLook


def test_it_is_over_once_a_peer_told_all_it_knows() -> None:
    look = FirstLook()
    assert not look.over
    with look.comparing():
        assert not look.over
    assert look.over


def test_comparisons_under_way_are_waited_for_and_failed_ones_count_for_nothing() -> None:
    look = FirstLook()
    with pytest.raises(TimeoutError), look.comparing():
        raise TimeoutError
    assert not look.over
    other = look.comparing()
    other.__enter__()
    with look.comparing():
        pass
    assert not look.over
    other.__exit__(None, None, None)
    assert look.over


async def test_nobody_to_ask_ends_it_at_once_and_for_ever() -> None:
    look = FirstLook()
    look.found_nobody()
    await look.wait()
    with look.comparing():
        assert look.over
