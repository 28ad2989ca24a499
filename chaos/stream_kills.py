"""Workers lost while they stream: `python -m chaos.stream_kills --times 200 [--by stop]`.

Each time the worker of a running stream of the demo model is killed (or stopped for four seconds)
after a random number of tokens; another takes its place while the next stream is under way. Every
answer is compared with an unbroken one of the same seed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any

import aiohttp

from benchmarks.load import percentile
from benchmarks.processes import Child, Stage, stage

PROMPTS = (
    "Tell me a story about an owl.",
    "Tell me a story about two friends and a boat.",
    "Write a poem about the rain.",
    "Tell me a long story about a fox who is afraid of the dark.",
)
TOKENS, RATE = 80, 60
"""Of one answer, and how many of them a worker gives out in a second."""
EARLIEST, LATEST = 2, TOKENS - 10
"""Tokens after which a worker is lost."""
STOPPED_SECONDS = 4.0
READY_SECONDS = 30.0


@dataclass
class Told:
    """What one client was told."""

    text: str = ""
    node: str = ""
    times: list[float] = field(default_factory=list)
    resumed: int = 0
    usage: int = 0
    done: bool = False

    @property
    def longest_gap(self) -> float:
        return max((later - earlier for earlier, later in pairwise(self.times)), default=0.0)


@dataclass
class Tally:
    """All losses so far."""

    times: int = 0
    completed: int = 0
    exact: int = 0
    usage_right: int = 0
    resumed: int = 0
    gaps: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def report(self) -> dict[str, Any]:
        return {
            "times": self.times,
            "completed": self.completed,
            "exact_text": self.exact,
            "usage_right": self.usage_right,
            "resumed": self.resumed,
            "gap_p50_seconds": round(percentile(self.gaps, 50), 3),
            "gap_p95_seconds": round(percentile(self.gaps, 95), 3),
            "gap_longest_seconds": round(max(self.gaps), 3),
            "failures": self.failures[:10],
        }


class Fleet:
    """A gateway without an engine, and workers that are lost and come back."""

    def __init__(self, processes: Stage, workers: int) -> None:
        self._processes = processes
        self.gateway = processes.node("--engine", "none", core=None)
        self._workers: dict[str, Child] = {}
        for _ in range(workers):
            self._start_worker()

    @property
    def url(self) -> str:
        return str(self.gateway.hello["http"])

    def lose(self, node: str, by: str) -> None:
        """Kill or stop a worker, at once."""
        os.kill(self._workers[node].pid, signal.SIGKILL if by == "kill" else signal.SIGSTOP)

    async def restore(self, session: aiohttp.ClientSession, node: str, by: str) -> None:
        """Let a stopped worker go on, or start one in the place of a killed one; then know it."""
        lost = self._workers[node]
        if by == "kill":
            await asyncio.to_thread(lost.kill)  # dead already: this only buries it
            del self._workers[node]
            worker = await asyncio.to_thread(self._start_worker)
        else:
            worker = lost
            await asyncio.sleep(STOPPED_SECONDS)
            os.kill(lost.pid, signal.SIGCONT)
        await self.make_ready(session, worker)

    async def make_all_ready(self, session: aiohttp.ClientSession) -> None:
        """As `make_ready`, for every worker."""
        for worker in self._workers.values():
            await self.make_ready(session, worker)

    async def make_ready(self, session: aiohttp.ClientSession, worker: Child) -> None:
        """Return when the gateway knows that a worker serves, and this one has answered once.

        Its engine's process starts with its first job, which is no part of what is measured.
        """
        end = time.monotonic() + READY_SECONDS
        while worker.hello["node_id"] not in await self._known(session):
            if time.monotonic() > end:
                raise RuntimeError("a worker did not come back")
            await asyncio.sleep(0.02)
        await ask(session, worker.hello["http"], PROMPTS[0], 0, tokens=2)

    async def _known(self, session: aiohttp.ClientSession) -> set[str]:
        async with session.get(f"{self.url}/api/models") as answer:
            models = (await answer.json())["models"]
        return {each["node_id"] for m in models if m["id"] == "demo" for each in m["providers"]}

    def _start_worker(self) -> Child:
        join = ("--join", self.gateway.hello["mesh"])
        child = self._processes.node("--engine", "demo", "--demo-rate", str(RATE), *join, core=None)
        self._workers[child.hello["node_id"]] = child
        return child


async def ask(
    session: aiohttp.ClientSession,
    url: str,
    prompt: str,
    seed: int,
    *,
    tokens: int = TOKENS,
    lose_at: int = 0,
    fleet: Fleet | None = None,
    by: str = "kill",
) -> Told:
    """One streamed answer, whose worker is lost after `lose_at` pieces."""
    told = Told()
    body = {
        "model": "demo",
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": tokens,
        "seed": seed,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    async with session.post(f"{url}/v1/chat/completions", json=body) as answer:
        told.node = answer.headers.get("x-electrons-node", "")
        async for data in answer.content:
            if _take(told, data.decode().strip()) and len(told.times) == lose_at and fleet:
                fleet.lose(told.node, by)
    return told


def _take(told: Told, line: str) -> bool:
    """True when the line brought text."""
    if line.startswith(": resumed"):
        told.resumed += 1
    if not line.startswith("data: {"):
        told.done = told.done or line == "data: [DONE]"
        return False
    event = json.loads(line[6:])
    if event.get("usage"):
        told.usage = event["usage"]["completion_tokens"]
    text = "".join(choice["delta"].get("content") or "" for choice in event.get("choices", ()))
    told.text += text
    if text:
        told.times.append(time.monotonic())
    return bool(text)


async def lose_workers(times: int, workers: int, by: str, seed: int) -> dict[str, Any]:
    """Lose a worker so many times; the report."""
    tally = Tally()
    timeout = aiohttp.ClientTimeout(total=120)
    with stage() as processes:
        fleet = Fleet(processes, workers)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            await fleet.make_all_ready(session)
            unbroken = [await ask(session, fleet.url, prompt, seed) for prompt in PROMPTS]
            await _lose_one_by_one(session, fleet, tally, unbroken, times, by, seed)
    print(file=sys.stderr)
    return {"by": by, "seed": seed, "workers": workers, **tally.report()}


async def _lose_one_by_one(
    session: aiohttp.ClientSession,
    fleet: Fleet,
    tally: Tally,
    unbroken: list[Told],
    times: int,
    by: str,
    seed: int,
) -> None:
    """One stream after the other, while the worker lost before is restored."""
    rng = Random(seed)
    restoring: asyncio.Task[None] | None = None
    for number in range(times):
        choice = number % len(PROMPTS)
        expected, prompt = unbroken[choice], PROMPTS[choice]
        at = rng.randint(EARLIEST, min(LATEST, len(expected.times) - 4))
        told = await ask(session, fleet.url, prompt, seed, lose_at=at, fleet=fleet, by=by)
        _count(tally, told, expected, f"number {number}, lost after {at}")
        print(f"\r{number + 1}/{times} gap {tally.gaps[-1]:.2f} s ", end="", file=sys.stderr)
        if restoring is not None:
            await restoring
        restoring = asyncio.create_task(fleet.restore(session, told.node, by))
    if restoring is not None:
        await restoring


def _count(tally: Tally, told: Told, expected: Told, name: str) -> None:
    tally.times += 1
    tally.completed += told.done
    tally.exact += told.text == expected.text
    tally.usage_right += told.usage == expected.usage
    tally.resumed += told.resumed
    tally.gaps.append(told.longest_gap)
    if not told.done or told.text != expected.text:
        tally.failures.append(f"{name}: {told.text[-40:]!r} for {expected.text[-40:]!r}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--by", choices=("kill", "stop"), default="kill")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    report = asyncio.run(lose_workers(args.times, args.workers, args.by, args.seed))
    print(json.dumps(report, indent=1))
    whole = report["completed"] == report["exact_text"] == report["times"]
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
