"""A register that shows less than was acknowledged is found, and doubtful values are let pass."""

from __future__ import annotations

from math import inf

import pytest

from chaos.consensus.linearizable import Operation
from chaos.registers import missed

FIRST = Operation("write", "a", 1, 0.0, 1.0)
SECOND = Operation("write", "a", 2, 2.0, 3.0)
BESIDE_SECOND = Operation("write", "a", 3, 2.5, 2.8)
DOUBTFUL = Operation("write", "a", 4, 0.5, inf)


def read(value: int | None, key: str = "a") -> Operation:
    return Operation("read", key, value, 9.0, 9.1)


@pytest.mark.parametrize("value", [2, 3, 4])
def test_what_may_be_last_is_not_missed(value: int) -> None:
    assert missed([FIRST, SECOND, BESIDE_SECOND, DOUBTFUL], [read(value)]) == set()


@pytest.mark.parametrize("value", [None, 1, 99])
def test_older_absent_or_never_written_values_are_missed(value: int | None) -> None:
    assert missed([FIRST, SECOND, BESIDE_SECOND], [read(value)]) == {"a"}


def test_nothing_acknowledged_is_nothing_to_miss() -> None:
    assert missed([DOUBTFUL], [read(None), read(None, "b")]) == set()
