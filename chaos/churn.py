"""Nodes killed and restarted under load: `python -m chaos.churn --minutes 10`.

Every two seconds a random node is killed, or stopped and started again, whether it is a worker or a
gateway, while clients ask ten questions a second through gateways that live. A client whose own
gateway goes away asks another one; those are counted apart. Every answer has to be exact.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

import aiohttp
import psutil

from benchmarks.load import percentile
from chaos.nodes import Node, Nodes, open_nodes
from chaos.questions import Story, ask_living, learn
from chaos.views import until_whole

TARGET = 0.999
RATE = 12
"""Tokens a second of one answer."""
TOKENS = 18
"""Of one answer, so that it takes 1.5 s and costs little."""
KILLED_SHARE = 0.5
"""The others are asked to stop, as by an owner who restarts the daemon."""
DOWN_SECONDS = (0.5, 4.0)
"""How long a killed node stays away."""
JOIN_BY = 3
"""Nodes that one which comes back is told of."""
FEWEST = 0.6
"""Share of the nodes that are always left alive."""
SETTLE_SECONDS = 1.0
"""A node that came back is used as a gateway after so long: it promises to be routable by then."""


@dataclass(frozen=True)
class Setting:
    """What is done to whom."""

    nodes: int
    workers: int
    seconds: float
    rate: float
    every: float
    seed: int


@dataclass
class Tally:
    """What became of the clients and of the nodes."""

    stories: list[Story] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    killed: int = 0
    restarted: int = 0
    start_seconds: list[float] = field(default_factory=list)
    lateness: list[float] = field(default_factory=list)
    """Seconds by which clients began too late: the load generator's own trouble."""
    whole_after: float = float("nan")
    cpu: list[float] = field(default_factory=list)

    def report(self, setting: Setting) -> dict[str, Any]:
        """All figures as plain data."""
        jobs = len(self.stories)
        failures = Counter(story.problem for story in self.stories if story.problem)
        succeeded = jobs - failures.total()
        return {
            **vars(setting),
            "killed": self.killed,
            "restarted": self.restarted,
            "jobs": jobs,
            "succeeded": succeeded,
            "share": round(succeeded / jobs, 5) if jobs else 0.0,
            "asked_another_gateway": sum(story.gateways_lost > 0 for story in self.stories),
            "resumed_streams": sum(story.resumed > 0 for story in self.stories),
            "failures": dict(failures.most_common(10)),
            "job_p50_seconds": round(percentile(self.seconds, 50), 2),
            "job_p99_seconds": round(percentile(self.seconds, 99), 2),
            "node_start_p50_seconds": round(percentile(self.start_seconds, 50), 2),
            "whole_again_seconds": round(self.whole_after, 2),
            "machine_busy_percent": round(percentile(self.cpu, 50)),
            "load_generator_late_p99_seconds": round(percentile(self.lateness, 99), 3),
        }


class Churn:
    """Kills, restarts and asks, all at once."""

    def __init__(self, nodes: Nodes, setting: Setting, session: aiohttp.ClientSession) -> None:
        self._nodes = nodes
        self._setting = setting
        self._session = session
        self._rng = Random(setting.seed)
        self._settled: dict[Node, float] = dict.fromkeys(nodes.all, 0.0)
        """Since when a node may be a client's gateway."""
        self._until = 0.0
        self.tally = Tally()

    async def run(self) -> None:
        """Return when everybody is back and sees everybody."""
        known = await learn(self._session, self._nodes.all[-1].http, TOKENS)
        for node in self._nodes.all[: self._setting.workers]:  # an engine starts with its first job
            await learn(self._session, node.http, 1)
        self._until = time.monotonic() + self._setting.seconds
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_harming(group))
            group.create_task(self._keep_asking(group, list(known.items())))
            group.create_task(self._keep_measuring())
        self.tally.whole_after = await until_whole(self._session, self._nodes.all)

    def _living(self) -> list[Node]:
        now = time.monotonic()
        return [node for node, since in self._settled.items() if node.alive and since <= now]

    async def _keep_harming(self, group: asyncio.TaskGroup) -> None:
        while time.monotonic() < self._until:
            alive = [node for node in self._nodes.all if node.alive]
            if len(alive) > FEWEST * self._setting.nodes:
                group.create_task(self._harm(self._rng.choice(alive)))
            await asyncio.sleep(self._setting.every)

    async def _harm(self, node: Node) -> None:
        if self._rng.random() < KILLED_SHARE:
            self.tally.killed += 1
            await node.kill()
            await asyncio.sleep(self._rng.uniform(*DOWN_SECONDS))
        else:
            self.tally.restarted += 1
            await node.stop()
        began = time.monotonic()
        others = [other for other in self._nodes.all if other.alive]
        await node.start(self._rng.sample(others, min(JOIN_BY, len(others))))
        now = time.monotonic()
        self.tally.start_seconds.append(now - began)
        self._settled[node] = now + SETTLE_SECONDS

    async def _keep_asking(self, group: asyncio.TaskGroup, known: list[tuple[Any, str]]) -> None:
        due = time.monotonic()
        while due < self._until:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self.tally.lateness.append(time.monotonic() - due)
            group.create_task(self._ask(*self._rng.choice(known)))
            due += 1 / self._setting.rate

    async def _ask(self, question: Any, expected: str) -> None:
        began = time.monotonic()
        stream = self._rng.random() < 0.5
        story = await ask_living(
            self._session, self._living, question, expected, stream=stream, rng=self._rng
        )
        self.tally.stories.append(story)
        self.tally.seconds.append(time.monotonic() - began)
        if story.problem:
            print(f"\n{story.problem}", file=sys.stderr)

    async def _keep_measuring(self) -> None:
        psutil.cpu_percent()
        while (left := self._until - time.monotonic()) > 0:
            await asyncio.sleep(min(2.0, left))
            self.tally.cpu.append(psutil.cpu_percent())
            tally = self.tally
            harmed = f"{tally.killed} killed, {tally.restarted} restarted"
            print(f"\r{len(tally.stories)} jobs, {harmed}, {left:.0f} s ", end="", file=sys.stderr)
        print(file=sys.stderr)


async def run(setting: Setting) -> dict[str, Any]:
    """Start the nodes, harm them, ask, report."""
    timeout = aiohttp.ClientTimeout(total=60)
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with open_nodes() as nodes:
        for number in range(setting.nodes):
            engine = ("demo", "--demo-rate", str(RATE)) if number < setting.workers else ("none",)
            nodes.add("--engine", *engine)
        await nodes.start()
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            await until_whole(session, nodes.all)
            churn = Churn(nodes, setting, session)
            await churn.run()
        return churn.tally.report(setting)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--nodes", type=int, default=30)
    parser.add_argument("--workers", type=int, default=12)
    parser.add_argument("--rate", type=float, default=10.0, help="jobs a second")
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two losses")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    setting = Setting(args.nodes, args.workers, args.minutes * 60, args.rate, args.every, args.seed)
    report = asyncio.run(run(setting))
    print(json.dumps(report, indent=1))
    return 0 if report["share"] >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
