"""Workers lost while they stream: `python -m chaos.stream_kills --times 200 [--by stop]`.

Each time the worker of a running stream is killed (or stopped for four seconds) after a random
number of tokens, and comes back. Every answer is compared with an unbroken one of the same seed.
With `--engine vllm` or `llama.cpp` the workers' engines are fake servers, which outlive them and
tell how many tokens both workers generated beyond what the client was given.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import dataclass, field
from random import Random
from typing import Any, get_args

import aiohttp

from benchmarks.load import percentile
from benchmarks.processes import stage
from chaos.stream_client import Told, ask
from chaos.stream_fleet import By, Engine, Fleet

PROMPTS = (
    "Tell me a story about an owl.",
    "Tell me a story about two friends and a boat.",
    "Write a poem about the rain.",
    "Tell me a long story about a fox who is afraid of the dark.",
)
TOKENS = 80
"""Of one answer."""
EARLIEST, LATEST = 2, TOKENS - 10
"""Tokens after which a worker is lost."""


@dataclass
class Tally:
    """All losses so far."""

    times: int = 0
    completed: int = 0
    exact: int = 0
    usage_right: int = 0
    resumed: int = 0
    gaps: list[float] = field(default_factory=list)
    in_vain: list[int] = field(default_factory=list)
    """Tokens generated for each answer beyond what its client was given."""
    failures: list[str] = field(default_factory=list)

    def count(self, told: Told, expected: Told, name: str) -> None:
        """One answer more."""
        self.times += 1
        self.completed += told.done
        self.exact += told.text == expected.text
        self.usage_right += told.usage == expected.usage
        self.resumed += told.resumed
        self.gaps.append(told.longest_gap)
        if not told.done or told.text != expected.text:
            self.failures.append(f"{name}: {told.text[-40:]!r} for {expected.text[-40:]!r}")

    def report(self) -> dict[str, Any]:
        """All figures as plain data."""
        return {
            "times": self.times,
            "completed": self.completed,
            "exact_text": self.exact,
            "usage_right": self.usage_right,
            "resumed": self.resumed,
            "gap_p50_seconds": round(percentile(self.gaps, 50), 3),
            "gap_p95_seconds": round(percentile(self.gaps, 95), 3),
            "gap_longest_seconds": round(max(self.gaps), 3),
            "most_tokens_in_vain": max(self.in_vain, default=None),
            "failures": self.failures[:10],
        }


class Siege:
    """Loses workers of one fleet, and counts what their clients got."""

    def __init__(self, fleet: Fleet, session: aiohttp.ClientSession, by: By, seed: int) -> None:
        self._fleet = fleet
        self._session = session
        self._by = by
        self._seed = seed
        self._rng = Random(seed)
        self.tally = Tally()

    async def run(self, times: int) -> None:
        """One stream after the other, while the worker lost before comes back."""
        unbroken = [await self._ask(prompt) for prompt in PROMPTS]
        restoring: asyncio.Task[None] | None = None
        for number in range(times):
            told = await self._lose_one(PROMPTS[number % 4], unbroken[number % 4])
            gap = self.tally.gaps[-1]
            print(f"\r{number + 1}/{times} gap {gap:.2f} s ", end="", file=sys.stderr)
            if restoring is not None:
                await restoring
            restored = self._fleet.restore(self._session, told.node, self._by)
            restoring = asyncio.create_task(restored)
            if self._fleet.counts:  # warming up must not count as generated in vain
                await restoring
        if restoring is not None:
            await restoring
        print(file=sys.stderr)

    async def _lose_one(self, prompt: str, expected: Told) -> Told:
        at = self._rng.randint(EARLIEST, min(LATEST, len(expected.times) - 4))
        before = await self._fleet.generated(self._session)
        told = await self._ask(prompt, at)
        generated = await self._fleet.generated(self._session) - before
        self.tally.count(told, expected, f"{prompt!r}, lost after {at}")
        if self._fleet.counts:
            self.tally.in_vain.append(generated - told.usage)
        return told

    async def _ask(self, prompt: str, lose_at: int = 0) -> Told:
        fleet = self._fleet
        return await ask(
            self._session,
            fleet.url,
            fleet.model,
            prompt,
            self._seed,
            tokens=TOKENS,
            lose_at=lose_at,
            lose=lambda node: fleet.lose(node, self._by),
        )


async def lose_workers(
    times: int, workers: int, by: By, engine: Engine, seed: int
) -> dict[str, Any]:
    """Lose a worker so many times; the report."""
    timeout = aiohttp.ClientTimeout(total=120)
    with stage() as processes:
        fleet = Fleet(processes, workers, engine, TOKENS)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            await fleet.prepare(session)
            siege = Siege(fleet, session, by, seed)
            await siege.run(times)
    setting = {"by": by, "engine": engine, "workers": workers, "seed": seed}
    return {**setting, **siege.tally.report()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--by", choices=get_args(By), default="kill")
    parser.add_argument("--engine", choices=get_args(Engine), default="demo")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    report = asyncio.run(lose_workers(args.times, args.workers, args.by, args.engine, args.seed))
    print(json.dumps(report, indent=1))
    whole = report["completed"] == report["exact_text"] == report["times"]
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
