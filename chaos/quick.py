"""A small version of each: `python -m chaos.quick`, half a minute, for every change.

Fails where something was lost, wrong or not found again. How long it took is told, but judged by
the long versions only, which have the machine to themselves.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

from chaos import churn, deaths

PARTITION = ("--times", "1", "--workers", "2", "--halves", "1", "--half-seconds", "4")


def check_churn() -> tuple[bool, dict[str, Any]]:
    """Six nodes, one killed or restarted every two seconds, no answer lost."""
    setting = churn.Setting(nodes=6, workers=3, seconds=6.0, rate=5.0, every=2.0, seed=1)
    report = asyncio.run(churn.run(setting))
    return not report["failures"], report


def check_deaths() -> tuple[bool, dict[str, Any]]:
    """Five nodes: one stopped, one killed, one joined; then nobody dies at full load."""
    report = asyncio.run(deaths.run(nodes_count=5, starved=5, times=1, minutes=0.05, seed=1))
    return not report["starved"]["false_deaths"], report


def check_partition() -> tuple[bool, dict[str, Any]]:
    """A gateway and two workers, one of which is cut off while it streams."""
    if subprocess.run(["unshare", "-Urn", "true"], capture_output=True, check=False).returncode:
        return True, {"left_out": "this machine lets nobody make network namespaces"}
    command = [sys.executable, "-m", "chaos.partition_workers", *PARTITION]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if not done.stdout:
        return False, {"failures": ["it broke down"]}
    report: dict[str, Any] = json.loads(done.stdout)
    return not report["failures"], report


CHECKS = {"churn": check_churn, "deaths": check_deaths, "partition": check_partition}


def main() -> int:
    reports, failed = {}, []
    for name, check in CHECKS.items():
        fine, reports[name] = check()
        if not fine:
            failed.append(name)
    print(json.dumps({**reports, "failed": failed}, indent=1))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
