"""Whether what clients saw could have happened in one order, each call between its two ends.

The search of Wing and Gong (1993) with Lowe's memory of visited configurations (2017). A history
of many registers is linearisable if each register's is (Herlihy and Wing 1990), so they are
searched one by one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import Literal


@dataclass(frozen=True, slots=True)
class Operation:
    """One call on a register. Written values differ from each other; None: never written.

    `ended` is infinite for a write whose fate its client does not know.
    """

    kind: Literal["write", "read"]
    key: str
    value: int | None
    began: float
    ended: float = inf


def find_nonlinear_key(history: Iterable[Operation]) -> str | None:
    """A register whose history has no valid order, or None if all have one."""
    by_key: defaultdict[str, list[Operation]] = defaultdict(list)
    for operation in history:
        by_key[operation.key].append(operation)
    for key, operations in sorted(by_key.items()):
        if not is_linearizable(operations):
            return key
    return None


def is_linearizable(operations: list[Operation]) -> bool:
    """Whether one register's history has a valid order."""
    seen = {operation.value for operation in operations if operation.kind == "read"}
    # A write of unknown fate that nobody saw may as well have happened after everything.
    calls = sorted(
        (call for call in operations if call.ended < inf or call.value in seen),
        key=lambda call: call.began,
    )
    return _search(calls)


def _search(calls: list[Operation]) -> bool:
    everything = (1 << len(calls)) - 1
    optional = sum(1 << place for place, call in enumerate(calls) if call.ended == inf)
    seen = {call.value for call in calls if call.kind == "read"}
    visited: set[tuple[int, int | None]] = set()
    stack: list[tuple[int, int | None]] = [(0, None)]
    while stack:
        done, value = stack.pop()
        done = _take_reads(calls, done, value)
        if done | optional == everything:
            return True
        done = _take_unseen(calls, done, seen)
        if done | optional == everything:
            return True
        for place in _next_places(calls, done):
            call = calls[place]
            after = (done | 1 << place, call.value)
            if call.kind == "write" and after not in visited:
                visited.add(after)
                stack.append(after)
    return False


def _take_reads(calls: list[Operation], done: int, value: int | None) -> int:
    """Every read that may be next and fits: it changes nothing, so sooner is never worse."""
    while fitting := [
        place
        for place in _next_places(calls, done)
        if calls[place].kind == "read" and calls[place].value == value
    ]:
        done |= sum(1 << place for place in fitting)
    return done


def _take_unseen(calls: list[Operation], done: int, seen: set[int | None]) -> int:
    """Every write that may be next and that nobody saw: a write that was seen follows at once."""
    while unseen := [
        place
        for place in _next_places(calls, done)
        if calls[place].kind == "write" and calls[place].value not in seen
    ]:
        done |= sum(1 << place for place in unseen)
    return done


def _next_places(calls: list[Operation], done: int) -> list[int]:
    """Those that may be next: they began before any other that is left had ended."""
    left = [place for place in range(len(calls)) if not done >> place & 1]
    first_end = min((calls[place].ended for place in left), default=inf)
    return [place for place in left if calls[place].began <= first_end]
