"""The leading coordinator killed again and again under load: `python -m chaos.leader_kills`.

Five daemons coordinate, some of them also work, a sixth is only a gateway. Streams run through the
gateway without a pause, and commands go to random living coordinators. Each time the leader is
killed: how long until a command that began after that is acknowledged, and until all others report
a new leader. The killed one starts again and has to become a voter that misses nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from random import Random
from typing import Any

import aiohttp
import psutil

from benchmarks.load import percentile
from chaos.coordinators import Founded, start_all, until_all_say, until_one_group
from chaos.nodes import Node, Nodes, open_nodes
from chaos.questions import PROMPTS, Question, put
from chaos.registers import Registers
from chaos.views import until_whole

COORDINATORS = 5
WORKERS = 3
"""Coordinators that also serve the demo model."""
RATE = 20
"""Tokens a second of one stream."""
TOKENS = 40
TYPICAL, LONGEST = 1.0, 2.0
"""Seconds until commands are decided again: the median, and the 99th percentile."""
PATIENCE = 60.0


@dataclass
class Tally:
    """What the kills did."""

    acknowledged: list[float] = field(default_factory=list)
    """Seconds until a command that began after the kill was acknowledged."""
    reported: list[float] = field(default_factory=list)
    """Until the first of the others reported a new leader."""
    reported_by_all: list[float] = field(default_factory=list)
    back: list[float] = field(default_factory=list)
    """From starting the killed one until it voted and missed nothing."""
    streams: int = 0
    resumed: int = 0
    lost_streams: list[str] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def report(self) -> dict[str, Any]:
        """All figures as plain data."""
        found: dict[str, Any] = {
            "kills": len(self.reported_by_all),
            "streams_asked": self.streams,
            "streams_lost": len(self.lost_streams),
            "streams_resumed": self.resumed,
            "machine_busy_percent": round(percentile(self.cpu, 50)),
            "failures": self.lost_streams[:10],
        }
        for name in ("acknowledged", "reported", "reported_by_all", "back"):
            found[f"{name}_seconds"] = spread(getattr(self, name))
        return found

    @property
    def within(self) -> bool:
        """Whether all kept to the targets."""
        return not self.lost_streams and all(
            percentile(seconds, 50) <= TYPICAL and percentile(seconds, 99) <= LONGEST
            for seconds in (self.acknowledged, self.reported_by_all)
        )


def spread(seconds: list[float]) -> dict[str, float]:
    """Median, 99th percentile and the longest."""
    return {
        "p50": round(percentile(seconds, 50), 3),
        "p99": round(percentile(seconds, 99), 3),
        "longest": round(max(seconds, default=0.0), 3),
    }


class Siege:
    """Kills leaders of one mesh while its clients go on."""

    def __init__(
        self, founded: Founded, gateway: Node, session: aiohttp.ClientSession, seed: int
    ) -> None:
        self._coordinators = founded.coordinators
        self._gateway = gateway
        self._session = session
        self._rng = Random(seed)
        self._over = asyncio.Event()
        self.registers = Registers(session, self._rng)
        self.registers.turn(0)
        self.tally = Tally()

    async def run(self, times: int, rate: float, streams: int) -> None:
        """Kill so many leaders, then read everything back through each coordinator."""
        known = await learn_answers(self._session, self._gateway)
        psutil.cpu_percent()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.registers.keep_calling(self._coordinators, rate, self._over))
            for _ in range(streams):
                group.create_task(self._keep_streaming(known))
            for number in range(times):
                self.registers.turn(number)
                await self._kill_leader()
                self._say(number + 1, times)
            self._over.set()
        await until_one_group(self._session, self._coordinators, PATIENCE)
        await self.registers.read_back(self._coordinators, self.registers.every)

    async def _kill_leader(self) -> None:
        _, leader = await until_one_group(self._session, self._coordinators, PATIENCE)
        await asyncio.sleep(self._rng.uniform(0.2, 1.0))
        others = [node for node in self._coordinators if node is not leader]
        killed = time.monotonic()
        await leader.kill()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.registers.write(self._rng.choice(others)))
            deciding = group.create_task(self.registers.until_acknowledged(killed, PATIENCE))
            found = await until_all_say(
                self._session,
                others,
                lambda sight: sight.leader not in (None, leader.node_id),
                PATIENCE,
            )
        times = [at - killed for at, _ in found]
        self.tally.acknowledged.append(deciding.result() - killed)
        self.tally.reported.append(min(times))
        self.tally.reported_by_all.append(max(times))
        began = time.monotonic()
        await leader.start()
        whole, _ = await until_one_group(self._session, self._coordinators, PATIENCE)
        self.tally.back.append(whole - began)
        self.tally.cpu.append(psutil.cpu_percent())

    async def _keep_streaming(self, known: list[tuple[Any, str]]) -> None:
        while not self._over.is_set():
            question, expected = self._rng.choice(known)
            answer = await put(self._session, self._gateway.http, question, stream=True)
            self.tally.streams += 1
            self.tally.resumed += answer.resumed > 0
            if answer.problem or answer.text != expected:
                lost = answer.problem or f"{answer.text!r} instead of {expected!r}"
                self.tally.lost_streams.append(lost)
                print(f"\n{lost}", file=sys.stderr)

    def _say(self, number: int, times: int) -> None:
        tally = self.tally
        said = f"acknowledged {tally.acknowledged[-1]:.2f} s, led {tally.reported_by_all[-1]:.2f} s"
        busy = f"machine {tally.cpu[-1]:.0f} % busy"
        print(f"{number}/{times} {said}, back {tally.back[-1]:.2f} s, {busy}", file=sys.stderr)


async def learn_answers(
    session: aiohttp.ClientSession, gateway: Node
) -> list[tuple[Question, str]]:
    """Questions with their answers, given while nothing goes wrong yet."""
    questions = [Question(prompt, 1, TOKENS) for prompt in PROMPTS]
    async with asyncio.TaskGroup() as group:
        asking = [
            group.create_task(put(session, gateway.http, question, stream=False))
            for question in questions
        ]
    answers = [task.result() for task in asking]
    if problems := [answer.problem for answer in answers if answer.problem]:
        raise RuntimeError(f"no answer even before anything went wrong: {problems[0]}")
    return [(question, answer.text) for question, answer in zip(questions, answers, strict=True)]


def settle_mesh(nodes: Nodes, coordinators: int, workers: int) -> tuple[Founded, Node]:
    """Coordinators, some of them workers, and a gateway; nothing is started."""
    founded = Founded(nodes)
    for number in range(coordinators):
        engine = ("demo", "--demo-rate", str(RATE)) if number < workers else ("none",)
        founded.add("--no-assign", "--engine", *engine, coordinates=True)
    return founded, founded.add("--no-assign", "--engine", "none", coordinates=False)


async def run(times: int, rate: float, streams: int, seed: int) -> tuple[Tally, Registers]:
    """Start the nodes, kill leaders; what came of it."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    timeout = aiohttp.ClientTimeout(total=60)
    async with open_nodes() as nodes:
        founded, gateway = settle_mesh(nodes, COORDINATORS, WORKERS)
        await start_all(nodes.all)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            await until_whole(session, nodes.all)
            await until_one_group(session, founded.coordinators)
            siege = Siege(founded, gateway, session, seed)
            await siege.run(times, rate, streams)
        return siege.tally, siege.registers


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--rate", type=float, default=10.0, help="commands and reads a second")
    parser.add_argument("--streams", type=int, default=2, help="streams at the same time")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    tally, registers = asyncio.run(run(args.times, args.rate, args.streams, args.seed))
    setting = {"coordinators": COORDINATORS, "workers": WORKERS, **vars(args)}
    print(json.dumps({**setting, **tally.report(), **registers.report()}, indent=1))
    return 0 if tally.within and registers.sound else 1


if __name__ == "__main__":
    sys.exit(main())
