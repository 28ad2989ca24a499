"""`python -m chaos.dht_attack [--nodes 500] [--times 1] [--only WORDS] [--quick]`

Plays every attack with the defences and without, and prints what share of look-ups succeeded. The
exit status is 1 when a target is missed, or when no attack harms a table without defences: then the
attackers, not the defences, are weak.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from chaos.dht_attack.flood import flood
from chaos.dht_attack.stories import ATTACKS, Attack, Size, run
from dht.defences import NONE, OPEN

QUICK = Size(nodes=100, providers=8, askers=20, lookups=60)
QUICK_ATTACKS = ("random 40 %, decoys", "40 % around the key, a botnet")
MOST_OF_A_24 = 2
FORGERIES = 10_000


def play(attack: Attack, size: Size, times: int) -> dict[str, Any]:
    """One attack with and without defences, over different meshes."""
    with_defences = [run(attack, size, OPEN, seed=seed) for seed in range(times)]
    without = [run(attack, size, NONE, seed=seed) for seed in range(times)]
    return {
        "attack": attack.name,
        "lookups": sum(each["lookups"] for each in with_defences),
        "target_percent": 100 * attack.least,
        "succeeded_percent": _mean(with_defences, "succeeded_percent"),
        "succeeded_percent_without_defences": _mean(without, "succeeded_percent"),
        "requests_each": _mean(with_defences, "requests_each"),
        "requests_each_without_defences": _mean(without, "requests_each"),
        "most_hostile_of_a_24_in_a_bucket": max(
            each["most_hostile_of_a_24_in_a_bucket"] for each in with_defences
        ),
    }


def is_met(report: dict[str, Any]) -> bool:
    """Whether look-ups succeeded as often as they must, and no network filled a bucket."""
    enough = report["succeeded_percent"] >= report["target_percent"]
    return bool(enough and report["most_hostile_of_a_24_in_a_bucket"] <= MOST_OF_A_24)


def is_harmless(report: dict[str, Any]) -> bool:
    """Whether the same attack leaves a table without defences working."""
    return bool(report["succeeded_percent_without_defences"] >= report["target_percent"])


def _mean(reports: list[dict[str, Any]], name: str) -> float:
    return float(round(sum(each[name] for each in reports) / len(reports), 2))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m chaos.dht_attack", description=__doc__)
    parser.add_argument("--nodes", type=int, default=500)
    parser.add_argument("--times", type=int, default=1, help="meshes each attack is played in")
    parser.add_argument("--only", default="", help="attacks whose name contains this")
    parser.add_argument("--quick", action="store_true", help="100 nodes, two attacks")
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else Size(nodes=arguments.nodes)
    wanted = QUICK_ATTACKS if arguments.quick else tuple(each.name for each in ATTACKS)
    reports = []
    for attack in ATTACKS:
        if attack.name in wanted and arguments.only in attack.name:
            reports.append(play(attack, size, arguments.times))
            print(json.dumps(reports[-1]), file=sys.stderr, flush=True)
    flooded = flood(FORGERIES // (10 if arguments.quick else 1))
    missed = [each["attack"] for each in reports if not is_met(each)]
    if flooded["accepted"] or not flooded["honest_held"]:
        missed.append("flood of stores")
    harmless = bool(reports) and all(is_harmless(each) for each in reports)
    report = {"attacks": reports, "flood": flooded, "missed": missed, "harmless": harmless}
    print(json.dumps(report, indent=1))
    return 1 if missed or harmless else 0


if __name__ == "__main__":
    sys.exit(main())
