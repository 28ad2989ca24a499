"""Serving nodes die and come back: `python -m chaos.assignment_churn --minutes 5`.

Eight unlike nodes, three of them coordinators; some hold much memory, some little, some refuse to
be assigned anything. Every five seconds a node is killed, mostly one that serves, every third time
all that serve at once, and started again. Who serves is asked of the nodes themselves and, as
`GET /api/gaps`, of the coordinators: a service without a provider must have one within 30 s.

All services want the demo model, the only one every machine can run, so a provider of one is one of
all: what is shown is that losses are noticed and made good through changes of leaders, not how
models are fitted to machines. `tests/simulation` has that.
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
from chaos.coordinators import Founded, start_all, until_one_group
from chaos.leader_kills import spread
from chaos.nodes import Node, Nodes, open_nodes
from chaos.registers import token_of

UNCOVERED = 30.0
"""Seconds that a service may be without a provider."""
COORDINATORS = 3
KINDS = (
    ("--memory-cap", "8GiB"),
    ("--memory-cap", "4GiB"),
    ("--no-assign",),
    ("--memory-cap", "2GiB"),
    ("--memory-cap", "1GiB", "--slots", "1"),
    ("--memory-cap", "1GiB"),
    ("--memory-cap", "16MiB"),
    ("--no-assign",),
)
"""The first of them coordinate. Five can run the demo model, two of these have 3 GiB."""
MODEL = "demo"
SERVICES: dict[str, dict[str, Any]] = {
    "story": {"model": MODEL, "min_replicas": 1, "priority": 0},
    "roomy": {"model": MODEL, "min_replicas": 1, "priority": 1, "memory": 3 << 30},
    "twins": {"model": MODEL, "min_replicas": 2, "priority": 5},
    "absent": {"model": "held-by-nobody", "min_replicas": 1, "priority": 9},
}
FEASIBLE = ("story", "roomy", "twins")
DOWN_SECONDS = (0.5, 8.0)
ALL_THAT_SERVE = 3
"""Every so many losses all serving nodes are killed at once."""
LOOK_EVERY = 0.3
LOOK_SECONDS = aiohttp.ClientTimeout(total=3)
PATIENCE = 60.0


class Stretches:
    """How long something was missing, each time."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self.seconds: list[float] = []

    def note(self, name: str, missing: bool, now: float) -> None:
        """What is so now."""
        if missing:
            self._since.setdefault(name, now)
        elif (since := self._since.pop(name, None)) is not None:
            self.seconds.append(now - since)

    def close(self, now: float) -> None:
        """Count what is still missing, too."""
        for name in list(self._since):
            self.note(name, False, now)


@dataclass
class Tally:
    """What the losses did."""

    killed: int = 0
    all_serving_killed: int = 0
    looks: Counter[str] = field(default_factory=Counter)
    """Reports by who gave them: the leader, another coordinator, nobody."""
    unserved: Stretches = field(default_factory=Stretches)
    """No living node served the model, as the nodes said themselves."""
    uncovered: Stretches = field(default_factory=Stretches)
    """A feasible service was reported critical."""
    absent_unreported: int = 0
    """Reports that did not call the service nobody can run critical, with a reason."""
    all_covered_after: float = float("nan")
    cpu: list[float] = field(default_factory=list)

    def report(self) -> dict[str, Any]:
        """All figures as plain data."""
        return {
            "killed": self.killed,
            "all_serving_killed_at_once": self.all_serving_killed,
            "times_without_any_provider": len(self.unserved.seconds),
            "without_any_provider_seconds": spread(self.unserved.seconds),
            "times_reported_critical": len(self.uncovered.seconds),
            "reported_critical_seconds": spread(self.uncovered.seconds),
            "reports": dict(self.looks),
            "reports_without_the_gap_nobody_can_fill": self.absent_unreported,
            "all_covered_after_seconds": round(self.all_covered_after, 2),
            "machine_busy_percent": round(percentile(self.cpu, 50)),
        }

    @property
    def within(self) -> bool:
        """Whether every loss was made good in time."""
        longest = [*self.unserved.seconds, *self.uncovered.seconds, self.all_covered_after]
        return max(longest) <= UNCOVERED and not self.absent_unreported


class Churn:
    """Kills nodes, and watches who serves."""

    def __init__(self, founded: Founded, nodes: Nodes, session: aiohttp.ClientSession) -> None:
        self._coordinators = founded.coordinators
        self._nodes = nodes
        self._session = session
        self._serving: set[Node] = set()
        self.tally = Tally()

    async def declare(self) -> None:
        """Say what has to run."""
        node = self._coordinators[0]
        headers = {"Authorization": f"Bearer {token_of(node)}"}
        for name, body in SERVICES.items():
            url = f"{node.http}/api/services/{name}"
            async with self._session.put(url, json=body, headers=headers) as answer:
                answer.raise_for_status()

    async def run(self, seconds: float, every: float, rng: Random) -> None:
        """Return when everybody is back and all is covered."""
        await self._until_covered()
        until = time.monotonic() + seconds
        async with asyncio.TaskGroup() as watching:
            over = asyncio.Event()
            watching.create_task(self._keep_looking(over, rng))
            async with asyncio.TaskGroup() as group:
                while (left := until - time.monotonic()) > 0:
                    self._harm(group, rng)
                    print(f"\r{self.tally.killed} killed, {left:.0f} s ", end="", file=sys.stderr)
                    await asyncio.sleep(every)
            self.tally.all_covered_after = await self._until_covered()
            over.set()
        self.tally.unserved.close(time.monotonic())
        self.tally.uncovered.close(time.monotonic())
        print(file=sys.stderr)

    def _harm(self, group: asyncio.TaskGroup, rng: Random) -> None:
        alive = [node for node in self._nodes.all if node.alive]
        serving = [node for node in alive if node in self._serving]
        if len(alive) <= len(self._nodes.all) // 2:
            return
        self.tally.killed += 1
        if self.tally.killed % ALL_THAT_SERVE == 0 and serving:
            self.tally.all_serving_killed += 1
            self.tally.killed += len(serving) - 1
            victims = serving
        else:
            victims = [rng.choice(serving if serving and rng.random() < 0.6 else alive)]
        for node in victims:
            group.create_task(_kill_and_start(node, rng.uniform(*DOWN_SECONDS)))

    async def _until_covered(self) -> float:
        began = time.monotonic()
        async with asyncio.timeout(2 * PATIENCE):
            while True:
                report = await self._get(self._coordinators[0], "/api/gaps")
                services = report["services"] if report else ()
                found = {each["service"]: each["level"] for each in services}
                if all(found.get(name) == "ok" for name in FEASIBLE):
                    return time.monotonic() - began
                await asyncio.sleep(LOOK_EVERY)

    async def _keep_looking(self, over: asyncio.Event, rng: Random) -> None:
        psutil.cpu_percent()
        while not over.is_set():
            alive = [node for node in self._nodes.all if node.alive]
            async with asyncio.TaskGroup() as group:
                for node in alive:
                    group.create_task(self._look_at(node))
                group.create_task(self._look_at_report(rng.choice(alive)))
            self._serving = {node for node in self._serving if node.alive}
            self.tally.unserved.note(MODEL, not self._serving, time.monotonic())
            self.tally.cpu.append(psutil.cpu_percent())
            await asyncio.sleep(LOOK_EVERY)

    async def _look_at(self, node: Node) -> None:
        found = await self._get(node, "/api/node")
        if found is not None and MODEL in {each["ref"]["name"] for each in found["models"]}:
            self._serving.add(node)
        else:
            self._serving.discard(node)

    async def _look_at_report(self, node: Node) -> None:
        report = await self._get(node, "/api/gaps")
        if report is None or report["coordinator"] is None:
            self.tally.looks["nobody could tell"] += 1
            return
        self.tally.looks["coordinator" if report["note"] else "leader"] += 1
        services = {each["service"]: each for each in report["services"]}
        for name in FEASIBLE:
            critical = name not in services or services[name]["level"] == "critical"
            self.tally.uncovered.note(name, critical, time.monotonic())
        absent = services.get("absent")
        told = absent is not None and absent["level"] == "critical" and absent["reasons"]
        self.tally.absent_unreported += not told

    async def _get(self, node: Node, path: str) -> Any:
        """None where it does not answer: it may just have been killed."""
        try:
            async with self._session.get(f"{node.http}{path}", timeout=LOOK_SECONDS) as answer:
                return await answer.json() if answer.status == 200 else None
        except (aiohttp.ClientError, TimeoutError):
            return None


async def _kill_and_start(node: Node, down: float) -> None:
    await node.kill()
    await asyncio.sleep(down)
    await node.start()


async def run(seconds: float, every: float, seed: int) -> Tally:
    """Start the nodes, lose some again and again; what came of it."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with open_nodes() as nodes:
        founded = Founded(nodes)
        for number, words in enumerate(KINDS):
            founded.add("--engine", "none", *words, coordinates=number < COORDINATORS)
        await start_all(nodes.all)
        async with aiohttp.ClientSession(connector=connector) as session:
            await until_one_group(session, founded.coordinators)
            churn = Churn(founded, nodes, session)
            await churn.declare()
            await churn.run(seconds, every, Random(seed))
        return churn.tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two losses")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    tally = asyncio.run(run(args.minutes * 60, args.every, args.seed))
    setting = {"nodes": len(KINDS), "coordinators": COORDINATORS, **vars(args)}
    print(json.dumps({**setting, **tally.report()}, indent=1))
    return 0 if tally.within else 1


if __name__ == "__main__":
    sys.exit(main())
