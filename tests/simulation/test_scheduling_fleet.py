"""What the policy does to many jobs: shares, reaction, latency. In virtual time, several gateways.

Each promise has a deliberate bug that must break it, so that the check is known to find one.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest

from benchmarks.scheduling_fleet import Fleet, Gateway
from coordinator.scheduling import policy
from coordinator.scheduling.experience import Experience
from coordinator.scheduling.policy import Candidate
from mesh.capability import Load, ServedModel
from mesh.ids import NodeId

SEEDS = range(5)
RATE = 400.0
"""Characters a second: an answer of usual length takes a second."""
MIXED = [400.0] * 3 + [200.0] * 3 + [100.0] * 3


def spread(workers: int, per_second: float, seconds: float, seed: int) -> tuple[float, float]:
    """The smallest and the largest share among equal workers; 1.0 is fair."""
    fleet = Fleet([RATE] * workers, seed=seed)
    fleet.offer(per_second, seconds)
    fleet.run(seconds + 10)
    shares = fleet.shares(0, seconds)
    fair = sum(shares.values()) / workers
    return min(shares[w.node] for w in fleet.workers) / fair, max(shares.values()) / fair


def evenness(seeds: Sequence[int] = SEEDS) -> float:
    """How far from fair the shares of eight equal workers are, at worst."""
    spreads = [spread(8, 8.0, 120, seed) for seed in seeds]
    return max(max(1 - low, high - 1) for low, high in spreads)


def test_equal_workers_share_evenly() -> None:
    """120 jobs each, to within 30 %: three standard deviations of a fair lot."""
    print(f"seeds {list(SEEDS)}")
    assert evenness() <= 0.30


def test_shares_that_are_not_even_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def take_first(near: list[Candidate], rng: Random) -> Candidate:
        return min(near, key=lambda candidate: candidate.node)

    monkeypatch.setattr(policy, "_choose", take_first)
    assert evenness() > 0.30


def share_after_slowing(seed: int, streaming: float, advertise: bool) -> float:
    """The share of one of eight workers from 2 s after it slows to a tenth; 1.0 is fair."""
    fleet = Fleet([RATE] * 8, seed=seed, slots=16, streaming=streaming, advertise=advertise)
    fleet.offer(16.0, 32.0)
    fleet.run(20.0)
    slow = fleet.workers[3]
    fleet.set_rate(slow, RATE / 10)
    fleet.run(32.0)
    shares = fleet.shares(22.0, 32.0)
    return shares[slow.node] / sum(shares.values()) * len(fleet.workers)


@pytest.mark.parametrize("streaming", [1.0, 0.0])
@pytest.mark.parametrize("advertise", [True, False])
def test_a_worker_that_slows_tenfold_loses_its_share_within_two_seconds(
    streaming: float, advertise: bool
) -> None:
    print(f"seeds {list(SEEDS)}")
    shares = [share_after_slowing(seed, streaming, advertise) for seed in SEEDS]
    assert sum(shares) / len(shares) <= 0.15
    assert max(shares) <= 0.4


def test_a_gateway_that_sees_nothing_itself_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def advertised(
        self: Experience, node: NodeId, model: ServedModel, load: Load, sole: bool, now: float
    ) -> float:
        return self._advertised(model, load, sole)

    monkeypatch.setattr(Experience, "run_seconds", advertised)
    monkeypatch.setattr(Experience, "busy", lambda self, node, load: 0)
    shares = [share_after_slowing(seed, 1.0, True) for seed in SEEDS]
    assert sum(shares) / len(shares) > 0.15


def share_after_recovery(seed: int, advertise: bool) -> float:
    fleet = Fleet([RATE] * 4, seed=seed, advertise=advertise)
    fleet.offer(8.0, 200.0)
    fleet.run(10.0)
    slow = fleet.workers[1]
    fleet.set_rate(slow, RATE / 10)
    fleet.run(40.0)
    fleet.set_rate(slow, RATE)
    fleet.run(200.0)
    shares = fleet.shares(150.0, 200.0)
    return shares[slow.node] / sum(shares.values()) * len(fleet.workers)


@pytest.mark.parametrize("advertise", [True, False])
def test_a_worker_that_recovers_gets_its_share_again(advertise: bool) -> None:
    assert min(share_after_recovery(seed, advertise) for seed in range(2)) >= 0.7


def test_nobody_tries_the_recovered_without_second_chances(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("coordinator.scheduling.scout.CHANCE", 0.0)
    assert min(share_after_recovery(seed, advertise=False) for seed in range(2)) < 0.7


def p95(choose: object, part: float, seed: int) -> float:
    """Seconds to the whole answer, at a part of what mixed workers can do at most."""
    fleet = Fleet(MIXED, seed=seed, choose=choose)  # type: ignore[arg-type]
    capacity = sum(worker.rate * worker.slots for worker in fleet.workers) / 400
    fleet.offer(part * capacity, 30.0)
    fleet.run(150.0)
    return fleet.latency(0.95, since=5.0)


@pytest.mark.parametrize("part", [0.3, 0.6, 0.8])
def test_p95_is_well_below_round_robins_with_mixed_speeds(part: float) -> None:
    for seed in range(2):
        ratio = p95(Gateway.choose, part, seed) / p95(Gateway.take_turns, part, seed)
        assert ratio <= 0.6, f"seed {seed}"


def crowding(seed: int) -> float:
    """The largest share of four equal workers in half a second, on average; 1.0 is fair."""
    fleet = Fleet([RATE] * 4, seed=seed, gateways=12, slots=16)
    fleet.offer(60.0, 25.0, characters=200.0)
    fleet.run(30.0)
    largest = []
    for half in range(10, 50):
        shares = fleet.shares(half / 2, half / 2 + 0.5)
        largest.append(max(shares.values()) / sum(shares.values()) * 4)
    return sum(largest) / len(largest)


def test_gateways_with_stale_views_do_not_flock_to_one_worker() -> None:
    print("seeds 0 to 2")
    assert sum(crowding(seed) for seed in range(3)) / 3 <= 1.34


def test_flocking_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Always the best by what was reported: what two random choices are there to prevent."""

    def believe_reports(candidate: Candidate) -> int:
        return candidate.load.in_flight + candidate.load.queued

    monkeypatch.setattr(policy, "_busy", believe_reports)
    monkeypatch.setattr(policy, "_choose", lambda near, rng: near[0])
    assert sum(crowding(seed) for seed in range(3)) / 3 > 1.34
