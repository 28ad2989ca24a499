"""How long is waited, and how much a peer may cause."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dht.allowance import MAX_PEERS, Allowance
from dht.response_time import FIRST, LEAST, MOST, ResponseTime
from mesh.ids import NodeId

A, B = NodeId("a" * 40), NodeId("b" * 40)


def test_patience_starts_at_half_a_second_and_follows_what_is_measured() -> None:
    times = ResponseTime()
    assert times.patience == FIRST
    for _ in range(50):
        times.measured(0.01)
    assert times.patience == LEAST
    for _ in range(50):
        times.measured(0.3)
    assert 0.3 < times.patience < 0.5
    times.measured(1.2)
    assert times.patience > 0.6


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=50))
def test_patience_has_bounds(measurements: list[float]) -> None:
    times = ResponseTime()
    for seconds in measurements:
        times.measured(seconds)
    assert LEAST <= times.patience <= MOST


def test_a_burst_is_granted_then_only_the_rate() -> None:
    allowance = Allowance(rate=10, burst=20)
    assert all(allowance.take(A, 1, 0.0) for _ in range(20))
    assert not allowance.take(A, 1, 0.0)
    assert allowance.take(B, 20, 0.0)
    assert allowance.take(A, 5, 0.5)
    assert not allowance.take(A, 1, 0.5)
    assert not allowance.take(A, 21, 1000.0)


def test_reserving_beyond_the_burst_costs_time() -> None:
    allowance = Allowance(rate=10, burst=2)
    assert [round(allowance.reserve(A, 1, 0.0), 3) for _ in range(4)] == [0.0, 0.0, 0.1, 0.2]
    assert allowance.reserve(A, 1, 1.0) == 0.0


def test_peers_remembered_are_bounded() -> None:
    allowance = Allowance(rate=1, burst=1)
    for number in range(MAX_PEERS * 2):
        allowance.take(NodeId(f"{number:040x}"), 1, 0.0)
    assert len(allowance._buckets) == MAX_PEERS
