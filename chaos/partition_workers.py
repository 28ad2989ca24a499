"""Workers and halves of a mesh cut off: `python -m chaos.partition_workers --times 5`.

Every node has a network namespace of its own. The worker that streams is cut off, for so short that
its link lives on and its late chunks arrive, or for so long that it is taken for dead; its stream
goes on elsewhere. Then the mesh is cut in two halves that both serve, and heals.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import dataclass, field
from random import Random
from typing import Any

import aiohttp

from benchmarks.load import percentile
from chaos.network_lab import Host, NetworkLab, enter
from chaos.nodes import Node, Nodes, open_nodes
from chaos.questions import Story, ask_living, learn
from chaos.stream_client import Told, ask
from chaos.views import missing_anywhere, until_whole

GAP, HEALED = 2.0, 5.0
"""Seconds within which a stream goes on, and within which a healed mesh is whole."""
RATE = 40
"""Tokens a second."""
TOKENS = 120
"""Of the stream whose worker is cut off: 3 s, so that late chunks find it still running."""
SHORT_CUT, LONG_CUT = 1.6, 6.0
"""Seconds: before a link is believed dead, and after."""
HALF_TOKENS = 20
HALF_RATE = 2.0
"""Questions a second to each half."""
PROMPT = "Tell me a long story about a fox who is afraid of the dark."
PATIENCE = 60.0


@dataclass
class Tally:
    """What became of the streams and of the mesh."""

    exact: int = 0
    resumed: int = 0
    gaps: list[float] = field(default_factory=list)
    whole_after: list[float] = field(default_factory=list)
    """Seconds from healing until every node saw every other."""
    failures: list[str] = field(default_factory=list)
    halves: list[Story] = field(default_factory=list)
    """Clients of both halves."""
    seen_across: int = 0
    """Pairs that still saw one another across the cut when it ended: 0, or it was none."""
    halves_whole_after: list[float] = field(default_factory=list)

    def report(self) -> dict[str, Any]:
        """All figures as plain data."""
        problems = [story.problem for story in self.halves if story.problem]
        return {
            "cuts": len(self.gaps),
            "exact_text": self.exact,
            "resumed": self.resumed,
            "gap_p50_seconds": round(percentile(self.gaps, 50), 3),
            "gap_longest_seconds": round(max(self.gaps, default=0.0), 3),
            "whole_after_p50_seconds": round(percentile(self.whole_after, 50), 3),
            "whole_after_longest_seconds": round(max(self.whole_after, default=0.0), 3),
            "halves_jobs": len(self.halves),
            "halves_failed": len(problems),
            "halves_resumed": sum(story.resumed > 0 for story in self.halves),
            "halves_seen_across_the_cut": self.seen_across,
            "halves_whole_after_seconds": [round(each, 3) for each in self.halves_whole_after],
            "failures": [*self.failures, *problems][:10],
        }

    @property
    def within(self) -> bool:
        """Whether all kept to the targets."""
        healed = [*self.whole_after, *self.halves_whole_after]
        return (
            self.exact == len(self.gaps)
            and max(self.gaps, default=0.0) <= GAP
            and max(healed, default=0.0) <= HEALED
            and not any(story.problem for story in self.halves)
            and not self.seen_across
        )


class Siege:
    """Cuts a mesh, and counts what its clients got. The first node is a gateway only."""

    def __init__(
        self,
        lab: NetworkLab,
        nodes: Nodes,
        hosts: dict[Node, Host],
        session: aiohttp.ClientSession,
        seed: int,
    ) -> None:
        self._lab = lab
        self._nodes = nodes
        self._hosts = hosts
        self._session = session
        self._rng = Random(seed)
        self.tally = Tally()

    async def cut_workers(self, times: int) -> None:
        """Cut off the worker of a stream so many times, briefly and for long in turn."""
        for worker in self._nodes.all[1:]:  # an engine starts with its first job
            await ask(self._session, worker.http, "demo", PROMPT, 1, tokens=2)
        for number in range(times):
            seed = self._rng.randrange(1000)
            expected = await self._ask(seed)
            told = await self._cut_one(seed, SHORT_CUT if number % 2 == 0 else LONG_CUT)
            self._count(told, expected)
            gap, whole = self.tally.gaps[-1], self.tally.whole_after[-1]
            print(f"{number + 1}/{times} gap {gap:.2f} s, whole {whole:.2f} s", file=sys.stderr)

    async def cut_in_halves(self, seconds: float) -> None:
        """Cut the mesh in two for so long, while both are asked."""
        known = list((await learn(self._session, self._nodes.all[0].http, HALF_TOKENS)).items())
        halves = [self._nodes.all[::2], self._nodes.all[1::2]]
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for half in halves:
                group.create_task(self._keep_asking(group, half, known, over))
            await asyncio.sleep(1)
            self._lab.cut_off(self._hosts[node] for node in halves[1])
            await asyncio.sleep(seconds)
            self.tally.seen_across += await self._count_seen_across(halves)
            self._lab.heal(self._hosts[node] for node in halves[1])
            whole = await self._time_until_whole()
            over.set()
        self.tally.halves_whole_after.append(whole)
        print(f"two halves were whole again after {whole:.2f} s", file=sys.stderr)

    async def _time_until_whole(self) -> float:
        """Seconds from now until every node sees every other; at most PATIENCE, with a failure."""
        try:
            return await until_whole(self._session, self._nodes.all, PATIENCE)
        except TimeoutError:
            missing = await missing_anywhere(self._session, self._nodes.all)
            pairs = sorted((observer.number, node.number) for observer, node in missing)
            self.tally.failures.append(f"nodes that do not see others: {pairs[:20]}")
            return PATIENCE

    async def _count_seen_across(self, halves: list[list[Node]]) -> int:
        missing = await missing_anywhere(self._session, self._nodes.all)
        return 2 * len(halves[0]) * len(halves[1]) - len(missing)

    async def _keep_asking(
        self,
        group: asyncio.TaskGroup,
        half: list[Node],
        known: list[tuple[Any, str]],
        over: asyncio.Event,
    ) -> None:
        while not over.is_set():
            group.create_task(self._ask_half(half, *self._rng.choice(known)))
            await asyncio.sleep(1 / HALF_RATE)

    async def _ask_half(self, half: list[Node], question: Any, expected: str) -> None:
        rng, stream = self._rng, self._rng.random() < 0.5
        story = await ask_living(
            self._session, lambda: half, question, expected, stream=stream, rng=rng
        )
        self.tally.halves.append(story)

    async def _cut_one(self, seed: int, seconds: float) -> Told:
        cut: list[Host] = []

        def lose(node_id: str) -> None:
            cut.extend(self._hosts[node] for node in self._nodes.all if node.node_id == node_id)
            self._lab.cut_off(cut)

        async with asyncio.TaskGroup() as group:
            asking = group.create_task(self._ask(seed, self._rng.randint(5, 30), lose))
            while not cut and not asking.done():
                await asyncio.sleep(0.01)
            await asyncio.sleep(seconds)
            self._lab.heal(cut)
            self.tally.whole_after.append(await self._time_until_whole())
        return asking.result()

    def _count(self, told: Told, expected: Told) -> None:
        self.tally.gaps.append(told.longest_gap)
        self.tally.resumed += told.resumed > 0
        exact = told.done and told.text == expected.text and told.usage == expected.usage
        self.tally.exact += exact
        if not exact:
            self.tally.failures.append(f"{told.text[-40:]!r} for {expected.text[-40:]!r}")

    async def _ask(self, seed: int, lose_at: int = 0, lose: Any = None) -> Told:
        url = self._nodes.all[0].http
        return await ask(
            self._session, url, "demo", PROMPT, seed, tokens=TOKENS, lose_at=lose_at, lose=lose
        )


async def run(times: int, workers: int, halves: int, half_seconds: float, seed: int) -> Tally:
    """Build the lab, cut it, heal it; what came of it."""
    lab = NetworkLab()
    timeout = aiohttp.ClientTimeout(total=60)
    # A connection that is kept has the address of one switch, and is dead on the other.
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=connector) as session,
            open_nodes() as nodes,
        ):
            hosts = {}
            for number in range(workers + 1):
                host = lab.add_host()
                engine = ("demo", "--demo-rate", str(RATE)) if number else ("none",)
                words = ("--access", "open", "--engine", *engine)
                hosts[nodes.add(*words, enter=host.enter, host=host.address)] = host
            await nodes.start()
            await until_whole(session, nodes.all)
            siege = Siege(lab, nodes, hosts, session, seed)
            await siege.cut_workers(times)
            for _ in range(halves):
                await siege.cut_in_halves(half_seconds)
            return siege.tally
    finally:
        lab.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--times", type=int, default=20, help="workers cut off")
    parser.add_argument("--workers", type=int, default=5)
    parser.add_argument("--halves", type=int, default=3, help="times the mesh is cut in two")
    parser.add_argument("--half-seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    enter("chaos.partition_workers", sys.argv[1:])
    args = parser.parse_args()
    tally = asyncio.run(run(args.times, args.workers, args.halves, args.half_seconds, args.seed))
    print(json.dumps({"workers": args.workers, "seed": args.seed, **tally.report()}, indent=1))
    return 0 if tally.within else 1


if __name__ == "__main__":
    sys.exit(main())
