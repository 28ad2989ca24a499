"""What a choice of worker costs and what it is worth.

    python -m benchmarks.scheduling [--rounds 5] [--workers 10000]

Cost: CPU of one whole decision (draw, candidates, order) over a view of so many workers, against
looking at everybody, in interleaved rounds. Worth: the 95th percentile of the time to a whole
answer with workers of mixed speeds, against taking turns, over the same jobs in virtual time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from benchmarks.scheduling_fleet import Fleet, Gateway
from coordinator.scheduling.policy import Decision, Demand, decide
from coordinator.scheduling.scout import Scout
from dht.view import DirectoryView
from mesh.capability import Load, ModelRef, NodeRecord, Peer, ServedModel
from mesh.clock import SystemClock
from mesh.ids import NodeId

MODEL = "m"
DRAWS, SCANS = 2_000, 5
"""Decisions timed in one round: by drawing, and by looking at everybody."""
MIXED = [400.0] * 3 + [200.0] * 3 + [100.0] * 3
SEEDS = range(5)


def crowd(workers: int, rng: Random) -> DirectoryView:
    """A view of so many workers of all speeds and loads."""
    view = DirectoryView(SystemClock())
    for number in range(workers):
        node = NodeId(f"{number:040x}")
        served = ServedModel(ModelRef(MODEL, "bench", features=("tools",)), 4, rng.uniform(5, 80))
        record = NodeRecord(node, 1, 0.0, 60.0, models=(served,))
        view.update(node, Peer(record, Load(rng.randrange(5), 0, 4, 1.0), 0.01, True))
    return view


class Chooser:
    """Decides as a gateway does, and by looking at everybody."""

    def __init__(self, workers: int, seed: int) -> None:
        self.rng = Random(seed)
        self.view = crowd(workers, self.rng)
        self.scout = Scout(self.view, Counter(), time.monotonic, self.rng)
        for number in range(0, workers, 7):
            node = NodeId(f"{number:040x}")
            self.scout.experience.progressed(node, MODEL, 100, 1.0, time.monotonic())
            self.scout.experience.sent(node)

    def draw(self) -> Decision:
        found = self.scout.draw(MODEL)
        decision = decide(found.candidates, Demand(("tools",)), self.rng, known=found.known)
        self.scout.keep(MODEL, decision)
        return decision

    def scan(self) -> Decision:
        everybody = [self.scout.remote(each) for each in self.view.providers(MODEL)]
        return decide(everybody, Demand(("tools",)), self.rng)


def microseconds(call: Callable[[], object], times: int) -> float:
    """CPU of one call."""
    started = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - started) / times * 1e6


def cost(workers: int, rounds: int) -> dict[str, Any]:
    """CPU of a decision, medians over interleaved rounds."""
    chooser = Chooser(workers, seed=1)
    drawn, scanned = [], []
    for _ in range(rounds):
        drawn.append(microseconds(chooser.draw, DRAWS))
        scanned.append(microseconds(chooser.scan, SCANS))
    return {
        "workers": workers,
        "decision_us": round(statistics.median(drawn), 1),
        "decision_us_by_round": [round(each, 1) for each in drawn],
        "everybody_us": round(statistics.median(scanned), 1),
    }


def worth(part: float) -> dict[str, Any]:
    """p95 with mixed speeds at a part of what the workers can do, both ways, by seed."""
    by_seed = []
    for seed in SEEDS:
        pair = [_p95(choose, part, seed) for choose in (Gateway.choose, Gateway.take_turns)]
        by_seed.append({"seed": seed, "policy_s": pair[0], "round_robin_s": pair[1]})
    ratios = [each["policy_s"] / each["round_robin_s"] for each in by_seed]
    return {"load": part, "ratio": round(max(ratios), 3), "by_seed": by_seed}


def _p95(choose: Callable[[Gateway], Any], part: float, seed: int) -> float:
    fleet = Fleet(MIXED, seed=seed, choose=choose)
    capacity = sum(worker.rate * worker.slots for worker in fleet.workers) / 400
    fleet.offer(part * capacity, 60.0)
    fleet.run(400.0)
    return round(fleet.latency(0.95, since=5.0), 3)


def measure(workers: int = 10_000, rounds: int = 5) -> dict[str, Any]:
    """Everything this file measures."""
    return {
        "cost": [cost(many, rounds) for many in (10, 1_000, workers)],
        "worth": [worth(part) for part in (0.3, 0.6, 0.8)],
    }


def main() -> None:
    """Measure and print as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=10_000)
    args = parser.parse_args()
    print(json.dumps(measure(args.workers, args.rounds), indent=2))


if __name__ == "__main__":
    main()
