"""The checker of histories, shown right and wrong ones."""

from __future__ import annotations

from itertools import permutations
from math import inf
from random import Random

import pytest

from chaos.consensus.linearizable import Operation, find_nonlinear_key, is_linearizable


def write(value: int, began: float, ended: float = inf) -> Operation:
    return Operation("write", "a", value, began, ended)


def read(value: int | None, began: float, ended: float) -> Operation:
    return Operation("read", "a", value, began, ended)


RIGHT = {
    "nothing": [],
    "never written": [read(None, 1, 2)],
    "one after the other": [write(1, 1, 2), read(1, 3, 4)],
    "read sees a write under way": [write(1, 1, 9), read(1, 2, 3)],
    "read misses a write under way": [write(1, 1, 9), read(None, 2, 3)],
    "unknown write seen late": [write(1, 1), write(2, 2, 3), read(2, 4, 5), read(1, 6, 7)],
    "unknown write never seen": [write(1, 1), write(2, 2, 3), read(2, 4, 5)],
    "concurrent writes in either order": [write(1, 1, 5), write(2, 1, 5), read(1, 6, 7)],
}
WRONG = {
    "stale read": [write(1, 1, 2), write(2, 3, 4), read(1, 5, 6)],
    "lost write": [write(1, 1, 2), read(None, 3, 4)],
    "value from nowhere": [write(1, 1, 2), read(7, 3, 4)],
    "read before it was written": [read(1, 1, 2), write(1, 3, 4)],
    "value comes back": [write(1, 1, 2), write(2, 3, 4), read(2, 5, 6), read(1, 7, 8)],
    "two readers disagree on the order": [
        write(1, 1, 9),
        write(2, 1, 9),
        read(1, 2, 3),
        read(2, 4, 5),
        read(1, 6, 7),
    ],
    "unknown write seen and unseen": [write(1, 1), read(1, 2, 3), read(None, 4, 5)],
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_history_passes(name: str) -> None:
    assert is_linearizable(RIGHT[name])
    assert find_nonlinear_key(RIGHT[name]) is None


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_history_is_found(name: str) -> None:
    assert not is_linearizable(WRONG[name])
    assert find_nonlinear_key(WRONG[name]) == "a"


def by_trying_all_orders(operations: list[Operation]) -> bool:
    """The definition itself."""
    pending = [operation for operation in operations if operation.ended == inf]
    for skipped in range(1 << len(pending)):
        left_out = [item for place, item in enumerate(pending) if skipped >> place & 1]
        kept = [operation for operation in operations if operation not in left_out]
        if any(is_valid_order(order) for order in permutations(kept)):
            return True
    return False


def is_valid_order(order: tuple[Operation, ...]) -> bool:
    value = None
    for place, operation in enumerate(order):
        if any(later.ended < operation.began for later in order[place + 1 :]):
            return False
        if operation.kind == "write":
            value = operation.value
        elif operation.value != value:
            return False
    return True


def draw_history(rng: Random) -> list[Operation]:
    ends = rng.sample(range(100), 12)
    drawn = []
    for place in range(rng.randint(1, 6)):
        began, ended = sorted(ends[2 * place : 2 * place + 2])
        if rng.random() < 0.5:
            drawn.append(write(place + 1, began, inf if rng.random() < 0.3 else ended))
        else:
            drawn.append(read(rng.choice((None, 1, 2, 3)), began, ended))
    return drawn


def test_small_histories_agree_with_the_definition() -> None:
    rng = Random(11)
    verdicts = []
    for _ in range(400):
        history = draw_history(rng)
        verdicts.append(is_linearizable(history))
        assert verdicts[-1] == by_trying_all_orders(history), history
    assert 50 < sum(verdicts) < 350
