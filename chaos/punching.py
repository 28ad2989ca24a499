"""How many relayed links become direct, by kinds of routers: `python -m chaos.punching`.

Homes behind routers of each kind in an internet of namespaces, a public relay, and every pair of
homes asked for a job, which goes through the relay at first. Counted are the pairs whose link is
direct some seconds later, and how long that took. Jobs must be done in either case.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import defaultdict
from itertools import combinations
from typing import Any, Final

from benchmarks.load import percentile
from chaos.nat_rules import NatKind
from chaos.network_lab import enter
from chaos.reach_nodes import ReachMesh, Site, ask, reach_mesh, tell

KINDS: Final = (
    ("cone-a", NatKind.CONE),
    ("cone-b", NatKind.CONE),
    ("cone-c", NatKind.CONE),
    ("symmetric-a", NatKind.SYMMETRIC),
    ("symmetric-b", NatKind.SYMMETRIC),
    ("noudp", NatKind.NOUDP),
)
RELAY: Final = ("--roles", "gateway,relay")
READY_SECONDS = 60.0
PUNCH_SECONDS = 10.0
"""A link that is not direct by then counts as relayed."""
POLL_SECONDS = 0.05

Outcome = float | None
"""Seconds until the link of a pair was direct; None: it stayed relayed."""


async def seconds_until_direct(one: Site, other: Site, began: float) -> Outcome:
    """Look at the link from one end until it is direct."""
    wanted = other.node.node_id
    while time.monotonic() - began < PUNCH_SECONDS:
        node = await one.get("/api/node")
        peer = (await one.peers()).get(wanted)
        if peer and peer["linked"] and wanted not in node["relays"]["relayed"]:
            return time.monotonic() - began
        await asyncio.sleep(POLL_SECONDS)
    return None


async def try_pair(one: Site, other: Site) -> tuple[str, Outcome, str]:
    """What became of one pair: the kinds of its routers, the outcome, what was wrong with a job."""
    assert one.home is not None and other.home is not None
    kinds = " - ".join(sorted((one.home.kind.value, other.home.kind.value)))
    began = time.monotonic()
    told = await ask(one, other, "hello")
    outcome = await seconds_until_direct(one, other, began)
    again = await ask(one, other, "hello again")
    back = await ask(other, one, "hello back")
    said = "relayed" if outcome is None else f"direct after {outcome:.2f} s"
    tell(f"{one.name} and {other.name}: {said}")
    return kinds, outcome, told.problem or again.problem or back.problem


async def run_round(tries: dict[str, list[Outcome]], problems: list[str]) -> dict[str, float]:
    """A fresh mesh, every pair once; the nodes' own counts."""
    async with reach_mesh(1, KINDS, RELAY) as mesh:
        await mesh.start()
        await mesh.until_known(mesh.private, READY_SECONDS)
        await until_seated(mesh)
        for one, other in combinations(mesh.private, 2):
            kinds, outcome, problem = await try_pair(one, other)
            tries[kinds].append(outcome)
            if problem:
                problems.append(f"{one.name} and {other.name}: {problem}")
        figures = [await site.metrics() for site in mesh.private]
    names = ("punches_tried_total", "punches_through_total", "links_upgraded_total")
    return {name: sum(each[name] for each in figures) for name in names}


async def until_seated(mesh: ReachMesh) -> None:
    """Return when every private node has a seat at the relay. Raises TimeoutError."""
    async with asyncio.timeout(READY_SECONDS):
        for site in mesh.private:
            while (await site.metrics())["relay_seats"] < 1:
                await asyncio.sleep(POLL_SECONDS)


def describe(tries: list[Outcome]) -> dict[str, Any]:
    """Figures of the pairs of one combination of routers."""
    took = [each for each in tries if each is not None]
    found: dict[str, Any] = {"pairs": len(tries), "direct_percent": 100 * len(took) / len(tries)}
    if took:
        found["seconds_p50"] = round(percentile(took, 50), 2)
        found["seconds_longest"] = round(max(took), 2)
    return found


async def run(rounds: int) -> dict[str, Any]:
    tries: dict[str, list[Outcome]] = defaultdict(list)
    problems: list[str] = []
    counts: list[dict[str, float]] = []
    for _ in range(rounds):
        counts.append(await run_round(tries, problems))
    return {
        "rounds": rounds,
        "by_kinds": {kinds: describe(found) for kinds, found in sorted(tries.items())},
        "jobs_failed": problems,
        "counters": {name: sum(each[name] for each in counts) for name in counts[0]},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    enter("chaos.punching", sys.argv[1:])
    report = asyncio.run(run(args.rounds))
    print(json.dumps(report, indent=1))
    direct = report["by_kinds"]["cone - cone"]["direct_percent"]
    return 0 if direct >= 95 and not report["jobs_failed"] else 1


if __name__ == "__main__":
    sys.exit(main())
