"""A coordinator with 2,000 workers on real links, and a registry of 100,000 simulated nodes.

Workers are real links (TCP, TLS 1.3, proofs) from a few processes of loopback; the coordinator and
one gateway have a process each. Reported: the coordinator's CPU and memory a worker while all are
idle, the milliseconds from a join and from a change of load until the gateway's view shows it, and
what 100,000 entries cost. `python -m benchmarks.registry --workers 2000`, about two minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Any

import psutil

from benchmarks.registry_nodes import model
from coordinator.registry.registry import Registry
from dht.directory import Directory
from mesh.capability import Load, NodeRecord
from mesh.clock import SystemClock
from mesh.identity.keys import NodeKey, RootKey
from mesh.ids import MeshId
from mesh.lifecycle import Tasks
from mesh.links.memory import MemoryNetwork
from mesh.wire.records import SignedNode, open_node, sign_node
from mesh.wire.registry import Scope

BATCH = 250
"""Workers in one process."""
SETTLE = 15.0
IDLE = 15.0
"""Seconds until pushes have died down, and those over which idle cost is measured."""
CHANGES = 100


class Player:
    """A child process that answers lines of JSON."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.registry_nodes", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.hello = self._read()
        self.usage = psutil.Process(self._process.pid)

    def ask(self, **question: Any) -> dict[str, Any]:
        """One line there, one line back."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._read()

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()

    def cpu_seconds(self) -> float:
        times = self.usage.cpu_times()
        return times.user + times.system

    def memory(self) -> int:
        resident: int = self.usage.memory_info().rss
        return resident

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a child of the benchmark ended; its error is above")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def playing(*arguments: str) -> Iterator[Player]:
    """A child for the length of the block."""
    player = Player(*arguments)
    try:
        yield player
    finally:
        player.stop()


def measure_links(
    workers: int, *, settle: float = SETTLE, idle: float = IDLE, changes: int = CHANGES
) -> dict[str, Any]:
    """Real links: idle cost, and latencies at one gateway."""
    with ExitStack() as stack:
        head = stack.enter_context(playing("coordinator"))
        bare = head.memory()
        where = [head.hello[part] for part in ("address", "node", "mesh")]
        gateway = stack.enter_context(playing("gateway", *where))
        started = time.perf_counter()
        crowds = [
            stack.enter_context(playing("workers", *where, str(min(BATCH, workers - first))))
            for first in range(0, workers, BATCH)
        ]
        gateway.ask(wait_for=workers)
        together = time.perf_counter() - started
        time.sleep(settle)
        before = head.cpu_seconds()
        time.sleep(idle)
        cpu, memory = (head.cpu_seconds() - before) / idle, head.memory()
        loads = measure_latencies(crowds, gateway, "load", changes)
        joins = measure_latencies(crowds, gateway, "join", changes)
        return {
            "workers": workers,
            "links_at_coordinator": head.ask()["links"],
            "all_known_at_gateway_after_s": round(together, 1),
            "idle_cpu_percent": round(100 * cpu, 1),
            "idle_cpu_us_per_worker_and_second": round(1e6 * cpu / workers),
            "memory_mib": round(memory / 2**20),
            "memory_kib_per_worker": round((memory - bare) / workers / 1024),
            "load_ms": quantiles(loads),
            "join_ms": quantiles(joins),
        }


def measure_latencies(crowds: list[Player], gateway: Player, what: str, count: int) -> list[float]:
    """Seconds from each change at a worker until the gateway's view shows it."""
    found = []
    for number in range(count):
        changed = crowds[number % len(crowds)].ask(**{what: number})
        question = {"see": changed["node"]}
        if "in_flight" in changed:
            question["in_flight"] = changed["in_flight"]
        found.append(gateway.ask(**question)["at"] - changed["at"])
    return found


def quantiles(seconds: list[float]) -> dict[str, float]:
    """Median, 99th percentile and most, in milliseconds."""
    ordered = sorted(seconds)
    high = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    named = {"p50": median(ordered), "p99": high, "most": ordered[-1]}
    return {name: round(1e3 * value, 1) for name, value in named.items()}


async def measure_entries(entries: int) -> dict[str, Any]:
    """A registry of so many simulated nodes: memory, and CPU of a change and of a full resync."""
    root, clock, tasks = RootKey.generate(), SystemClock(), Tasks("entries")
    links = MemoryNetwork().join()
    key = NodeKey.generate()
    directory = Directory(
        key=key, mesh_id=root.mesh_id, boot=1, links=links, clock=clock, tasks=tasks
    )
    registry = Registry(
        own=key.node_id,
        mesh_id=root.mesh_id,
        directory=directory,
        links=links,
        clock=clock,
        tasks=tasks,
        coordinator=True,
    )
    registry.start()
    before = psutil.Process().memory_info().rss
    began = time.process_time()
    nodes = [make_record(root.mesh_id, number) for number in range(entries)]
    checked = time.process_time() - began
    for signed in nodes:
        registry.known.take(key.node_id, signed, 3_000.0)
    memory = psutil.Process().memory_info().rss - before
    assert registry.server is not None
    began, size = time.process_time(), 0
    async for message in registry.server._messages(0, Scope.ALL):
        size += len(message)
    resync = time.process_time() - began
    began = time.process_time()
    for number in range(1_000):
        version = registry.server.version
        registry.known.loaded(nodes[number].record.node_id, Load(in_flight=1 + number))
        async for _ in registry.server._messages(version, Scope.ALL):
            pass
    change = (time.process_time() - began) / 1_000
    await tasks.close()
    await links.close()
    return {
        "entries": len(registry.known),
        "memory_mib": round(memory / 2**20),
        "make_and_check_us_per_record": round(1e6 * checked / entries),
        "resync_cpu_s": round(resync, 2),
        "resync_mib": round(size / 2**20, 1),
        "change_cpu_us": round(1e6 * change),
    }


def make_record(mesh_id: MeshId, number: int) -> SignedNode:
    """As it came from outside: every text an object of its own."""
    key = NodeKey.generate()
    models = (model(f"model-{number % 500}"), model(f"own-{number}"))
    record = NodeRecord(
        key.node_id, 1, time.time(), 3_000.0, ("tcp://192.0.2.1:7718",), ("worker",), models=models
    )
    return open_node(sign_node(key, mesh_id, record).data, mesh_id, time.time())


def run(workers: int = 2_000, entries: int = 100_000) -> dict[str, Any]:
    """Everything."""
    return {"links": measure_links(workers), "entries": asyncio.run(measure_entries(entries))}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2_000)
    parser.add_argument("--entries", type=int, default=100_000)
    options = parser.parse_args()
    print(json.dumps(run(options.workers, options.entries), indent=1))
