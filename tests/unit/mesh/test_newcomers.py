"""How many unknown identities a network may bring."""

from __future__ import annotations

import pytest

from mesh.ids import NodeId
from mesh.links import newcomers
from mesh.links.newcomers import BURST, PER_MINUTE, Newcomers


def identity(number: int) -> NodeId:
    return NodeId(f"{number:040x}")


def come(room: Newcomers, count: int, source: str, now: float, first: int = 0) -> int:
    """How many of so many new identities get in."""
    return sum(room.admit(identity(first + number), source, now) for number in range(count))


def test_a_burst_gets_in_and_then_a_few_a_minute() -> None:
    room = Newcomers()
    assert come(room, 1000, "45.1.2.3", 0.0) == BURST
    assert come(room, 1000, "45.1.200.9", 60.0, first=2000) == PER_MINUTE  # the same /16


def test_others_are_not_held_up() -> None:
    room = Newcomers()
    come(room, 1000, "45.1.2.3", 0.0)
    assert room.admit(identity(5000), "46.1.2.3", 0.0)
    assert room.admit(identity(5001), "2a00:1:2::1", 0.0)


def test_who_was_here_comes_back_at_once() -> None:
    room = Newcomers()
    assert room.admit(identity(1), "45.1.2.3", 0.0)
    come(room, 1000, "45.1.2.3", 0.0, first=10)
    assert room.admit(identity(1), "45.1.2.3", 1.0)


@pytest.mark.parametrize("source", ["127.0.0.1", "10.1.2.3", "192.168.1.7", "fd00::1", "a node"])
def test_what_is_inside_is_not_limited(source: str) -> None:
    assert come(Newcomers(), 500, source, 0.0) == 500


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newcomers, "MAX_KNOWN", 8)
    monkeypatch.setattr(newcomers, "MAX_NETWORKS", 4)
    room = Newcomers()
    for number in range(50):
        assert room.admit(identity(number), f"45.{number}.0.1", float(number))
    assert len(room._known) == 8
    assert len(room._left) == 4
