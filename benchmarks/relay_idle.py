"""What idle private nodes cost the relay that they are reached through.

The relay is a real daemon; the private nodes are real links (TCP, TLS 1.3, proofs) with a record
and a reservation, many in a process. `python -m benchmarks.relay_idle --nodes 1000`, two minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from benchmarks.processes import Child, stage
from benchmarks.registry_nodes import Worker, converse
from mesh.identity.mesh import mesh_of_network
from mesh.ids import NodeId
from mesh.lifecycle import Tasks

NETWORK = "benchmark"
BATCH = 250
"""Nodes in one process."""
SETTLE = 15.0
IDLE = 20.0
"""Seconds until pushes have died down, and those over which idle cost is measured."""
TARGET_KIB = 100


async def crowd(address: str, relay: NodeId, count: int) -> None:
    """So many private nodes; tells how many of their links live when asked."""
    tasks, mesh_id = Tasks("crowd"), mesh_of_network(NETWORK)
    nodes = [Worker(mesh_id, number) for number in range(count)]
    for node in nodes:
        await node.start(address, relay, tasks)
        link = node.links.get(relay)
        assert link is not None
        node.links.pin(relay)
        await node.links.relaying.path.reserve(link)

    async def answer(question: dict[str, Any]) -> dict[str, Any]:
        return {"linked": sum(node.links.get(relay) is not None for node in nodes)}

    await converse({"count": count}, answer)


class Crowd:
    """The parent's end of one process."""

    def __init__(self, address: str, relay: str, count: int) -> None:
        words = ["benchmarks.relay_idle", "--crowd", address, relay, str(count)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._read()

    def count_linked(self) -> int:
        """Links to the relay that live."""
        assert self._process.stdin is not None
        self._process.stdin.write("{}\n")
        self._process.stdin.flush()
        return int(self._read()["linked"])

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("private nodes of the benchmark ended; their error is above")
        found: dict[str, Any] = json.loads(line)
        return found


@contextmanager
def crowds(address: str, relay: str, nodes: int) -> Iterator[list[Crowd]]:
    """All private nodes, for the length of the block."""
    with ExitStack() as stack:
        made = []
        for first in range(0, nodes, BATCH):
            each = Crowd(address, relay, min(BATCH, nodes - first))
            stack.callback(each.stop)
            made.append(each)
        yield made


def figure(child: Child, name: str) -> float:
    """One of the daemon's /metrics."""
    with urllib.request.urlopen(f"{child.hello['http']}/metrics") as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(f"electrons_{name} "):
                return float(line.split()[-1])
    raise KeyError(name)


def measure(nodes: int, settle: float, idle: float) -> dict[str, Any]:
    """One relay, without and with its nodes."""
    with stage() as processes:
        words = ("--engine", "none", "--network", NETWORK, "--roles", "gateway,relay")
        relay = processes.node(*words, core=None)
        time.sleep(settle / 3)
        bare = relay.memory_bytes()
        began = time.perf_counter()
        with crowds(relay.hello["mesh"], relay.hello["node_id"], nodes) as made:
            together = time.perf_counter() - began
            time.sleep(settle)
            cpu = relay.cpu_seconds()
            time.sleep(idle)
            return {
                "nodes": nodes,
                "all_there_after_s": round(together, 1),
                "linked": sum(each.count_linked() for each in made),
                "reservations": figure(relay, "relay_reservations"),
                "relay_bare_mib": round(bare / 2**20, 1),
                "kib_a_node": round((relay.memory_bytes() - bare) / nodes / 2**10, 1),
                "cpu_percent": round(100 * (relay.cpu_seconds() - cpu) / idle, 2),
            }


def missed(report: dict[str, Any]) -> list[str]:
    """What a report says that must not be."""
    wrong = {
        "nodes lost their relay": report["linked"] != report["nodes"],
        "reservations are missing": report["reservations"] != report["nodes"],
        f"more than {TARGET_KIB} KiB a node": report["kib_a_node"] > TARGET_KIB,
    }
    return [what for what, is_so in wrong.items() if is_so]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--nodes", type=int, default=1_000)
    parser.add_argument("--settle", type=float, default=SETTLE)
    parser.add_argument("--idle", type=float, default=IDLE)
    parser.add_argument("--crowd", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.crowd:
        address, relay, count = args.crowd
        asyncio.run(crowd(address, NodeId(relay), int(count)))
        return 0
    report = measure(args.nodes, args.settle, args.idle)
    print(json.dumps({**report, "missed": missed(report)}, indent=1))
    return 1 if missed(report) else 0


if __name__ == "__main__":
    sys.exit(main())
