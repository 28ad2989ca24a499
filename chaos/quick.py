"""A small version of each, a few at once: `python -m chaos.quick`, two minutes, for every change.

Fails where something was lost, wrong or not found again. How long it took is told, but judged by
the long versions only, which have the machine to themselves.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

Report = dict[str, Any]


def is_sound(report: Report) -> bool:
    """Whether coordinators kept all that they acknowledged, and one order explains all."""
    kept = not report["registers_with_lost_commands"] and report["not_linearisable"] is None
    return kept and not report["commands_failed"] and report["commands_acknowledged"] > 0


CHECKS: dict[str, tuple[str, Callable[[Report], bool]]] = {
    "churn": (
        "--nodes 6 --workers 3 --minutes 0.12 --rate 5 --every 1.5 --seed 3",
        lambda report: report["jobs"] > 0 and not report["failures"],
    ),
    "deaths": (
        "--nodes 5 --starved-nodes 5 --times 1 --minutes 0.05",
        lambda report: not report["starved"]["false_deaths"],
    ),
    "partition_workers": (
        "--times 1 --workers 2 --halves 1 --half-seconds 5",
        lambda report: report["cuts"] > 0 and not report["failures"],
    ),
    "leader_kills": (
        "--times 2 --streams 1",
        lambda report: is_sound(report) and not report["streams_lost"],
    ),
    "all_killed": (
        "--times 1 --power-loss",
        lambda report: is_sound(report) and not report["wrong_answers"],
    ),
    "partition_leader": (
        "--rounds 2 --seconds 4",
        lambda report: is_sound(report) and not report["acknowledged_by_the_smaller_side"],
    ),
    "assignment_churn": (
        "--minutes 0.2 --every 4",
        lambda report: (
            report["killed"] > 0 and not report["reports_without_the_gap_nobody_can_fill"]
        ),
    ),
    "revocation": (
        "--times 2 --coordinators 1 --workers 3 --streams 2 --untimed",
        lambda report: (
            report["revoked"] == 2
            and not (report["never_out"] or report["came_back"] or report["failures"])
        ),
    ),
    "nat_kinds": ("", lambda report: not report["faults"]),
    "reach": (
        "--homes cone-a,symmetric,office --times 1 --kills 1",
        lambda report: not report["faults"],
    ),
    "first_job": (
        "--homes cone,office",
        lambda report: not report["failures"] and len(report["seconds_to_first_job"]) == 2,
    ),
    "reach_states": (
        "--quick",
        lambda report: not report["faults"] and report["planted_fault_seen"] != "",
    ),
}
"""What each is run with, and whether its report is fine."""
NEEDS_NAMESPACES = frozenset(
    {"partition_workers", "partition_leader", "nat_kinds", "reach", "reach_states", "first_job"}
)
SIDE_BY_SIDE = 3
"""Runs at the same time: each has up to eight daemons."""


def has_namespaces() -> bool:
    """Whether this machine lets its users make network namespaces: not inside every container."""
    try:
        done = subprocess.run(["unshare", "-Urn", "true"], capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return done.returncode == 0


def run_all(names: list[str]) -> dict[str, Report]:
    """Run these side by side; their reports, empty for what broke down."""
    running = {
        name: subprocess.Popen(
            [sys.executable, "-m", f"chaos.{name}", *CHECKS[name][0].split()],
            stdout=subprocess.PIPE,
        )
        for name in names
    }
    outputs = {name: process.communicate()[0] for name, process in running.items()}
    return {name: json.loads(output) if output else {} for name, output in outputs.items()}


def explain(name: str, report: Report) -> str:
    """What a failed run said, in a line, without its timings."""
    if not report:
        return f"{name}: broke down before its report; its traceback stands above"
    said = {key: value for key, value in report.items() if not isinstance(value, dict | float)}
    return f"{name}: {json.dumps(said)}"


def main() -> int:
    chosen = [name for name in CHECKS if name not in NEEDS_NAMESPACES or has_namespaces()]
    reports: dict[str, Report] = {}
    for first in range(0, len(chosen), SIDE_BY_SIDE):
        reports |= run_all(chosen[first : first + SIDE_BY_SIDE])
    failed = [name for name, report in reports.items() if not (report and CHECKS[name][1](report))]
    left_out = sorted(CHECKS.keys() - reports.keys())
    print(json.dumps({**reports, "left_out": left_out, "failed": failed}, indent=1))
    for name in failed:
        print(explain(name, reports[name]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
