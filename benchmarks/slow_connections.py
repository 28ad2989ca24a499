"""Two thousand connections that say nearly nothing, and what honest clients notice of them.

`python -m benchmarks.slow_connections [--quick]`. Baseline and attack are measured in the same run
with the same daemons; the figure is their ratio. Exits with 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from subprocess import PIPE
from typing import Any

import psutil
import uvloop

from benchmarks.gateway_path import start_pair
from benchmarks.load import Figures, build_request, connect, percentile
from benchmarks.processes import LOAD_CORE, Stage, stage
from benchmarks.upstream import MODEL
from mesh.errors import DialError
from mesh.identity.boot import Boot
from mesh.identity.keys import NodeKey
from mesh.identity.mesh import mesh_of_network
from mesh.links.pool import LinkPool

CONNECTIONS, QUICK = 2000, 300
SECONDS, QUICK_SECONDS = 15.0, 2.0
CLIENTS = 4
RATE = 25.0
"""Requests a second and client: what is asked for is latency, not what the machine can bear."""
MOST_RATIO = 2.0
CLOSED_WITHIN = 13.0
"""Seconds that an attacker may stay: the longest of the deadlines, 10 s, the answer's lingering
(2 s) and the sweep."""


@dataclass
class Honest:
    """What honest clients saw."""

    requests: Figures
    links: Figures

    def row(self) -> dict[str, float]:
        return {
            "requests": self.requests.requests,
            "request_errors": self.requests.errors,
            "p50_ms": 1e3 * self.requests.percentile(50),
            "p95_ms": 1e3 * self.requests.percentile(95),
            "links": self.links.requests,
            "link_errors": self.links.errors,
            "link_p95_ms": 1e3 * self.links.percentile(95),
        }


async def ask(url: str, end: float, figures: Figures, offset: float) -> None:
    """One client's requests at RATE."""
    body: dict[str, object] = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}]}
    request = build_request(url, {**body, "max_tokens": 1})
    client = await connect(url)
    await asyncio.sleep(offset)
    while (start := time.perf_counter()) < end:
        status = await client.ask(request)
        took = time.perf_counter() - start
        figures.requests += 1
        figures.errors += status != 200
        figures.latencies.append(took)
        await asyncio.sleep(max(0.0, 1 / RATE - took))
    client.transport.close()


async def link(mesh: str, end: float, figures: Figures) -> None:
    """A new node links to the gateway every now and then."""
    while (start := time.perf_counter()) < end:
        pool = LinkPool(
            key=NodeKey.generate(), mesh_id=mesh_of_network("local"), boot=Boot(1, "aa")
        )
        await pool.start()
        try:
            await pool.connect(None, [f"tcp://{mesh}"])
            figures.latencies.append(time.perf_counter() - start)
        except DialError:
            figures.errors += 1
        figures.requests += 1
        await pool.close()
        await asyncio.sleep(0.2)


async def measure(url: str, mesh: str, seconds: float) -> Honest:
    honest = Honest(Figures(), Figures())
    end = time.perf_counter() + seconds
    async with asyncio.TaskGroup() as group:
        for number in range(CLIENTS):
            group.create_task(ask(url, end, honest.requests, number / RATE / CLIENTS))
        group.create_task(link(mesh, end, honest.links))
    return honest


def run(processes: Stage, total: int, seconds: float) -> dict[str, Any]:
    engine = processes.module("benchmarks.upstream", core=LOAD_CORE)
    target = start_pair(processes, engine)
    gateway = target.children[0]
    hello = gateway.hello
    open_files = psutil.Process(gateway.pid).num_fds
    before = uvloop.run(measure(hello["http"], hello["mesh"], seconds))
    idle_files = open_files()
    where = [str(total), hello["mesh"], hello["http"].partition("://")[2]]
    with trickling(where) as ask_report:
        during = uvloop.run(measure(hello["http"], hello["mesh"], max(seconds, CLOSED_WITHIN + 2)))
        attack, files = ask_report(), open_files()
    after = uvloop.run(measure(hello["http"], hello["mesh"], seconds))
    return {
        "connections": total,
        "before": before.row(),
        "during": during.row(),
        "after": after.row(),
        "ratio_p95": percentile_ratio(during.requests, before.requests),
        "attack": attack,
        "files": {"before": idle_files, "during": files},
    }


@contextmanager
def trickling(arguments: Sequence[str]) -> Iterator[Callable[[], dict[str, Any]]]:
    """The attack, in a process of its own; gives what asks it how it fares."""
    command = [sys.executable, "-m", "benchmarks.trickle", *arguments]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        words, answers = process.stdin, process.stdout
        os.sched_setaffinity(process.pid, {LOAD_CORE} & os.sched_getaffinity(0) or {0})
        answers.readline()

        def ask_report() -> dict[str, Any]:
            words.write("report\n")
            words.flush()
            answer: dict[str, Any] = json.loads(answers.readline())
            return answer

        try:
            yield ask_report
        finally:
            words.close()


def percentile_ratio(figures: Figures, baseline: Figures) -> float:
    return percentile(figures.latencies, 95) / percentile(baseline.latencies, 95)


def missed(report: dict[str, Any], *, quiet: bool = True) -> list[str]:
    """Which targets were missed, in words; latency is judged on quiet machines only. Pure."""
    during, attack = report["during"], report["attack"]
    longest = max([attack["oldest_s"], *(kind["longest_s"] for kind in attack["kinds"].values())])
    checks = [
        (
            not quiet or report["ratio_p95"] <= MOST_RATIO,
            f"p95 is {report['ratio_p95']:.2f} x the baseline",
        ),
        (not during["request_errors"], f"{during['request_errors']} honest requests failed"),
        (not during["link_errors"], f"{during['link_errors']} honest links failed"),
        (longest <= CLOSED_WITHIN, f"a slow connection lived for {longest:.1f} s"),
        (
            report["files"]["during"] <= report["files"]["before"] + report["connections"] + 32,
            f"{report['files']['during']} files are open",
        ),
    ]
    return [words for held, words in checks if not held]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer, for CI: latency is told only")
    quick = parser.parse_args().quick
    with stage() as processes:
        total, seconds = (QUICK, QUICK_SECONDS) if quick else (CONNECTIONS, SECONDS)
        report = run(processes, total, seconds)
    print(json.dumps(report, indent=2))
    faults = missed(report, quiet=not quick)
    print("; ".join(faults) or "every target is met", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
