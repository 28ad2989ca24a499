"""Full daemons on loopback: start, join, idle cost. `python -m benchmarks.daemons`."""

from __future__ import annotations

import argparse
import json
import statistics
import time
import urllib.request
from typing import Any

from benchmarks.processes import Child, Stage, stage

NODES = 20
IDLE_SECONDS = 20.0
STARTS = 5


def peers(child: Child) -> set[str]:
    with urllib.request.urlopen(f"{child.hello['http']}/api/peers") as answer:
        return {peer["node_id"] for peer in json.load(answer)["peers"]}


def wait_until_all_know(nodes: list[Child], wanted: set[str], seconds: float) -> float:
    """Seconds until every node lists every other, or NaN after `seconds`."""
    start = time.perf_counter()
    left = list(nodes)
    while time.perf_counter() - start < seconds:
        left = [n for n in left if not wanted <= peers(n) | {n.hello["node_id"]}]
        if not left:
            return time.perf_counter() - start
        time.sleep(0.02)
    return float("nan")


def measure_start(processes: Stage) -> dict[str, float]:
    """Seconds from `electrons up` to its ready line, defaults but for ports, nothing running."""
    seconds = []
    for _ in range(STARTS):
        start = time.perf_counter()
        child = processes.node("--engine", "none", core=None)
        seconds.append(time.perf_counter() - start)
        child.stop()
    return {"median_s": statistics.median(seconds), "most_s": max(seconds)}


def measure_mesh(processes: Stage) -> dict[str, float]:
    """Twenty daemons that were given one address; then one more joins."""
    first = processes.node("--engine", "none", core=None)
    join = ("--engine", "none", "--join", first.hello["mesh"])
    nodes = [first, *(processes.node(*join, core=None) for _ in range(NODES - 2))]
    last = processes.node(*join, core=None)
    nodes.append(last)
    everyone = {node.hello["node_id"] for node in nodes}
    all_know = wait_until_all_know(nodes, everyone, 30)
    newcomer = processes.node(*join, core=None)
    joined = wait_until_all_know(nodes, {newcomer.hello["node_id"]}, 10)
    return {"nodes": NODES, "all_know_after_last_start_s": all_know, "join_known_by_all_s": joined}


def measure_idle(processes: Stage, *engine: str) -> dict[str, float]:
    """A node in a mesh of five that does nothing."""
    first = processes.node("--engine", "none", core=None)
    join = ("--join", first.hello["mesh"])
    others = [processes.node("--engine", "none", *join, core=None) for _ in range(3)]
    node = processes.node("--engine", *engine, *join, core=None)
    wait_until_all_know([node], {other.hello["node_id"] for other in others}, 10)
    time.sleep(5)
    cpu, sent = node.cpu_seconds(), link_bytes(node)
    time.sleep(IDLE_SECONDS)
    return {
        "memory_mib": node.memory_bytes() / 2**20,
        "rss_mib": node.resident_bytes() / 2**20,
        "cpu_percent": 100 * (node.cpu_seconds() - cpu) / IDLE_SECONDS,
        "kB_per_second": (link_bytes(node) - sent) / IDLE_SECONDS / 1e3,
    }


def link_bytes(child: Child) -> float:
    """Bytes over links both ways, by the node's own count."""
    with urllib.request.urlopen(f"{child.hello['http']}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    wanted = ("electrons_link_bytes_in", "electrons_link_bytes_out")
    return sum(float(line.split()[-1]) for line in lines if line.startswith(wanted))


def run() -> dict[str, Any]:
    report: dict[str, Any] = {}
    with stage() as processes:
        report["start"] = measure_start(processes)
    with stage() as processes:
        report["mesh"] = measure_mesh(processes)
    with stage() as processes:
        report["idle"] = measure_idle(processes, "none")
    with stage() as processes:
        report["idle_demo"] = measure_idle(processes, "demo")
    return report


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    print(json.dumps(run(), indent=1))
