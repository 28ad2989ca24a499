"""Idle nodes that die, join and are starved: `python -m chaos.deaths --times 20 --minutes 30`.

First a node is killed and a node is stopped, again and again: how long until nobody sees it. Then
a worker joins: how long until every gateway has it, proven by an answer through each. At last 20
nodes share a machine that others keep busy at full load: nobody may be taken for dead.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import aiohttp
import psutil

from benchmarks.load import percentile
from chaos.nodes import Node, Nodes, open_nodes
from chaos.questions import PROMPTS, Question, put
from chaos.views import Seen, metric, missing_anywhere, until_seen, until_whole

BY_KILL, BY_STOP, JOINED = 1.0, 3.0, 1.0
"""Seconds within which all others must know."""
PATIENCE = 20.0
"""Seconds after which a measurement is given up."""
SETTLE_SECONDS = 4.0
"""Before a node is stopped: the one stopped before is patient with others for some seconds after it
woke, and this measures nodes in peace."""
BURNERS_PER_CORE = 2
LOOK_EVERY = 0.5
"""Seconds between looks at everybody's view while nobody dies."""
SILENT_LINKS = "links_lost_in_silence_total"
"""Links that a node believed dead: with a second accuser each would be a false death."""


def absent(victim: str) -> Callable[[Node, Seen], bool]:
    """True where a node is not seen."""
    return lambda node, seen: victim not in seen


def present(wanted: str, model: str = "") -> Callable[[Node, Seen], bool]:
    """True where a node is seen, serving the model."""
    return lambda node, seen: wanted in seen and (not model or model in seen[wanted]["models"])


@dataclass
class Tally:
    """Seconds until the last of all others knew."""

    killed: list[float] = field(default_factory=list)
    stopped: list[float] = field(default_factory=list)
    back: list[float] = field(default_factory=list)
    """From SIGCONT until everybody saw the node again."""
    joined: list[float] = field(default_factory=list)
    """From the new worker's ready line until everybody listed its model."""
    answered: list[float] = field(default_factory=list)
    """From its ready line until an answer of it came through every gateway."""

    def report(self) -> dict[str, Any]:
        """All figures as plain data."""
        found: dict[str, Any] = {}
        for name, seconds in vars(self).items():
            found[name] = {
                "times": len(seconds),
                "p50_seconds": round(percentile(seconds, 50), 3),
                "p95_seconds": round(percentile(seconds, 95), 3),
                "longest_seconds": round(max(seconds, default=0.0), 3),
            }
        return found

    @property
    def within(self) -> bool:
        """Whether all kept to the targets."""
        limits = ((self.killed, BY_KILL), (self.stopped, BY_STOP), (self.joined, JOINED))
        return all(max(seconds, default=0.0) <= limit for seconds, limit in limits)


class Watch:
    """Lets nodes of one mesh die and join, and watches the others."""

    def __init__(self, nodes: Nodes, session: aiohttp.ClientSession, seed: int) -> None:
        self._nodes = nodes
        self._session = session
        self._rng = Random(seed)
        self.tally = Tally()

    async def let_die(self, times: int) -> None:
        """Stop one so many times, then kill one so many times."""
        psutil.cpu_percent()
        for number in range(times):
            self.tally.stopped.append(await self._stop_one())
            busy = f"machine {psutil.cpu_percent():.0f} % busy"
            said = f"stopped {self.tally.stopped[-1]:.2f} s, {busy}"
            print(f"{number + 1}/{times} {said}", file=sys.stderr)
        for number in range(times):
            self.tally.killed.append(await self._kill_one())
            print(f"{number + 1}/{times} killed {self.tally.killed[-1]:.2f} s", file=sys.stderr)

    async def let_join(self, times: int) -> None:
        """Let the mesh's only worker join, so many times."""
        worker = self._nodes.add("--engine", "demo")
        gateways = [node for node in self._nodes.all if node is not worker]
        for number in range(times):
            await worker.start([self._rng.choice(gateways)])
            began = time.monotonic()
            shown = present(worker.node_id, "demo")
            seen = await until_seen(self._session, gateways, shown, PATIENCE)
            self.tally.joined.append(max(seen) - began)
            await self._ask_all(gateways)
            self.tally.answered.append(time.monotonic() - began)
            print(f"{number + 1}/{times} joined {self.tally.joined[-1]:.2f} s", file=sys.stderr)
            await worker.stop()
            await until_seen(self._session, gateways, absent(worker.node_id), PATIENCE)
        self._nodes.all.remove(worker)

    async def _ask_all(self, gateways: Sequence[Node]) -> None:
        question = Question(PROMPTS[0], 1, 1)
        for gateway in gateways:
            answer = await put(self._session, gateway.http, question, stream=False)
            if answer.problem:
                raise RuntimeError(f"the worker is listed but not routable: {answer.problem}")

    async def _kill_one(self) -> float:
        victim, others = self._draw()
        began = time.monotonic()
        await victim.kill()
        gone = await until_seen(self._session, others, absent(victim.node_id), PATIENCE)
        await victim.start(self._rng.sample(others, 2))
        await until_whole(self._session, self._nodes.all)
        return max(gone) - began

    async def _stop_one(self) -> float:
        victim, others = self._draw()
        await asyncio.sleep(SETTLE_SECONDS)
        began = time.monotonic()
        victim.signal(signal.SIGSTOP)
        gone = await until_seen(self._session, others, absent(victim.node_id), PATIENCE)
        continued = time.monotonic()
        victim.signal(signal.SIGCONT)
        back = await until_seen(self._session, others, present(victim.node_id), PATIENCE)
        self.tally.back.append(max(back) - continued)
        await until_whole(self._session, self._nodes.all)
        return max(gone) - began

    def _draw(self) -> tuple[Node, list[Node]]:
        victim = self._rng.choice(self._nodes.all)
        return victim, [node for node in self._nodes.all if node is not victim]


async def starve(
    nodes: Nodes, session: aiohttp.ClientSession, seconds: float, burners: int
) -> dict[str, Any]:
    """Keep every core busy for so long, and count who is taken for dead by whom."""
    before = {node: await metric(session, node, SILENT_LINKS) for node in nodes.all}
    burning = [await _burn() for _ in range(burners)]
    pairs: set[tuple[int, int]] = set()
    looks, cpu, end = 0, [], time.monotonic() + seconds
    psutil.cpu_percent()
    try:
        while (left := end - time.monotonic()) > 0:
            missing = await missing_anywhere(session, nodes.all)
            pairs |= {(observer.number, node.number) for observer, node in missing}
            looks += 1
            cpu.append(psutil.cpu_percent())
            said = f"{len(pairs)} false deaths in {looks} looks, {left:.0f} s left "
            print(f"\r{said}", end="", file=sys.stderr)
            await asyncio.sleep(LOOK_EVERY)
    finally:
        for burner in burning:
            burner.kill()
            await burner.wait()
    print(file=sys.stderr)
    lost = [await metric(session, node, SILENT_LINKS) - before[node] for node in nodes.all]
    return {
        "nodes": len(nodes.all),
        "seconds": seconds,
        "burners": burners,
        "machine_busy_percent": round(percentile(cpu, 50)),
        "looks_at_all_views": looks,
        "false_deaths": len(pairs),
        "links_lost_in_silence": sum(lost),
    }


async def _burn() -> Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-c", "while True: pass")


async def run(
    nodes_count: int, starved: int, times: int, minutes: float, seed: int
) -> dict[str, Any]:
    """All three parts; the report."""
    timeout = aiohttp.ClientTimeout(total=60)
    report: dict[str, Any] = {"nodes": nodes_count, "seed": seed}
    async with aiohttp.ClientSession(timeout=timeout) as session, open_nodes() as nodes:
        for _ in range(nodes_count):
            nodes.add("--engine", "none")
        await nodes.start()
        await until_whole(session, nodes.all)
        watch = Watch(nodes, session, seed)
        await watch.let_die(times)
        await watch.let_join(times)
        report |= {**watch.tally.report(), "within_targets": watch.tally.within}
        while len(nodes.all) < starved:
            await nodes.add("--engine", "none").start([nodes.all[0]])
        await until_whole(session, nodes.all)
        burners = BURNERS_PER_CORE * (psutil.cpu_count() or 1)
        report["starved"] = await starve(nodes, session, minutes * 60, burners)
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--nodes", type=int, default=12)
    parser.add_argument("--starved-nodes", type=int, default=20)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=30.0, help="at full load")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    report = asyncio.run(run(args.nodes, args.starved_nodes, args.times, args.minutes, args.seed))
    print(json.dumps(report, indent=1))
    return 0 if report["within_targets"] and not report["starved"]["false_deaths"] else 1


if __name__ == "__main__":
    sys.exit(main())
