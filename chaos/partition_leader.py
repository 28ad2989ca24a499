"""Coordinators cut apart while both sides take commands: `python -m chaos.partition_leader`.

Five coordinators, each in a network namespace of its own. In turn the leader alone is cut off, the
leader with another one, and two others; then the network heals. Commands and reads go to every node
all the time. The smaller side must refuse, the larger one must go on, and one order must explain
everything that both were told.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import aiohttp

from chaos.coordinators import Founded, start_all, until_one_group
from chaos.leader_kills import COORDINATORS, spread
from chaos.network_lab import Host, NetworkLab, enter
from chaos.nodes import Node, open_nodes
from chaos.registers import Call, Registers

DECIDED, REFUSED, HEALED = 2.0, 2.0, 5.0
"""Seconds until the larger side acknowledges, the smaller one refuses, and all are one again."""
PATIENCE = 60.0
KINDS = ("leader alone", "leader and another", "two others")
FROZEN = 0.1
"""Seconds: a call that began so shortly before the cut may have been decided before it."""


@dataclass
class Tally:
    """What the cuts did."""

    rounds: int = 0
    deciding: list[float] = field(default_factory=list)
    """Seconds from the cut until the larger side acknowledged a command begun after it."""
    refusing: list[float] = field(default_factory=list)
    """Seconds that each call took which the smaller side refused or left in doubt."""
    first_refusal: list[float] = field(default_factory=list)
    """Seconds from the cut until the smaller side had first said no."""
    healing: list[float] = field(default_factory=list)
    """Seconds from the end of the cut until all voted, missed nothing and named one leader."""
    on_both_sides: list[str] = field(default_factory=list)
    """Calls that the smaller side acknowledged though they began after the cut."""
    undecided: list[str] = field(default_factory=list)
    """Rounds in which a side did not do its part."""
    kinds: dict[str, list[float]] = field(default_factory=dict)

    def report(self) -> dict[str, Any]:
        """All figures as plain data."""
        found: dict[str, Any] = {
            "cuts": self.rounds,
            "acknowledged_by_the_smaller_side": self.on_both_sides[:10],
            "undecided": self.undecided[:10],
            "larger_side_decides_by_kind": {
                kind: spread(seconds) for kind, seconds in self.kinds.items()
            },
        }
        names = ("deciding", "refusing", "first_refusal", "healing")
        return found | {f"{name}_seconds": spread(getattr(self, name)) for name in names}

    @property
    def within(self) -> bool:
        """Whether all kept to the targets."""
        longest = {
            name: max(getattr(self, name), default=0.0)
            for name in ("deciding", "refusing", "healing")
        }
        kept = longest["deciding"] <= DECIDED and longest["refusing"] <= REFUSED
        return kept and longest["healing"] <= HEALED and not self.on_both_sides + self.undecided


class Siege:
    """Cuts coordinators off and heals, while clients of all of them go on."""

    def __init__(
        self,
        lab: NetworkLab,
        hosts: dict[Node, Host],
        session: aiohttp.ClientSession,
        seed: int,
    ) -> None:
        self._lab = lab
        self._hosts = hosts
        self._nodes = list(hosts)
        self._session = session
        self._rng = Random(seed)
        self.registers = Registers(session, self._rng)
        self.tally = Tally()

    async def run(self, rounds: int, rate: float, seconds: float) -> None:
        """Cut so many times, for so long each."""
        for number in range(rounds):
            self.registers.turn(number)
            over = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                for node in self._nodes:  # clients of one node go on when another is slow
                    group.create_task(self.registers.keep_calling((node,), rate, over))
                await self._cut_once(KINDS[number % len(KINDS)], seconds)
                over.set()
            await self.registers.read_back(self._nodes, self.registers.keys)
            self._say(number + 1, rounds)
        await self.registers.read_back(self._nodes, self.registers.every)

    async def _cut_once(self, kind: str, seconds: float) -> None:
        _, leader = await until_one_group(self._session, self._nodes, PATIENCE)
        await asyncio.sleep(self._rng.uniform(0.5, 1.5))
        smaller = self._draw(kind, leader)
        began = time.monotonic()
        self._lab.cut_off(self._hosts[node] for node in smaller)
        cut = time.monotonic()
        await asyncio.sleep(seconds)
        healed = time.monotonic()
        self._lab.heal(self._hosts[node] for node in smaller)
        whole, _ = await until_one_group(self._session, self._nodes, PATIENCE)
        self.tally.healing.append(whole - healed)
        during = [call for call in self.registers.calls if cut <= call.began <= healed - FROZEN]
        self._judge(kind, began, healed, [call for call in during if call.node in smaller])
        larger = [call for call in during if call.node not in smaller]
        self._time(kind, began, healed, larger)

    def _draw(self, kind: str, leader: Node) -> list[Node]:
        others = [node for node in self._nodes if node is not leader]
        if kind == "leader alone":
            return [leader]
        if kind == "leader and another":
            return [leader, self._rng.choice(others)]
        return self._rng.sample(others, 2)

    def _judge(self, kind: str, began: float, healed: float, calls: Sequence[Call]) -> None:
        """The smaller side must not acknowledge while it is cut off, and must say so in time."""
        self.tally.rounds += 1
        ended = [call for call in calls if call.ended <= healed]
        for call in ended:
            if call.outcome == "acknowledged":
                said = f"{kind}: {call.kind} after {call.began - began:.3f} s"
                self.tally.on_both_sides.append(said)
        refused = [call for call in ended if call.outcome in ("refused", "in doubt")]
        self.tally.refusing.extend(call.ended - call.began for call in refused)
        late = [call for call in calls if call.ended > healed > call.began + REFUSED]
        if late or not refused:
            self.tally.undecided.append(f"{kind}: {len(late)} calls were not refused in time")
        if refused:
            self.tally.first_refusal.append(min(call.ended for call in refused) - began)

    def _time(self, kind: str, began: float, healed: float, calls: Sequence[Call]) -> None:
        done = [
            call.ended - began
            for call in calls
            if call.kind == "write" and call.outcome == "acknowledged" and call.ended <= healed
        ]
        if not done:
            self.tally.undecided.append(f"{kind}: the larger side acknowledged nothing")
            return
        self.tally.deciding.append(min(done))
        self.tally.kinds.setdefault(kind, []).append(min(done))

    def _say(self, number: int, rounds: int) -> None:
        tally = self.tally
        refused = f"refusing {tally.first_refusal[-1]:.2f} s" if tally.first_refusal else "nothing"
        said = f"{KINDS[(number - 1) % len(KINDS)]}: deciding {tally.deciding[-1]:.2f} s"
        print(
            f"{number}/{rounds} {said}, {refused}, whole {tally.healing[-1]:.2f} s", file=sys.stderr
        )


async def run(rounds: int, rate: float, seconds: float, seed: int) -> tuple[Tally, Registers]:
    """Build the lab, cut it, heal it; what came of it."""
    lab = NetworkLab()
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    try:
        async with aiohttp.ClientSession(connector=connector) as session, open_nodes() as nodes:
            founded = Founded(nodes)
            hosts = {}
            for _ in range(COORDINATORS):
                host = lab.add_host()
                words = ("--access", "open", "--no-assign", "--engine", "none")
                node = founded.add(*words, coordinates=True, enter=host.enter, host=host.address)
                hosts[node] = host
            await start_all(nodes.all)
            await until_one_group(session, nodes.all)
            siege = Siege(lab, hosts, session, seed)
            await siege.run(rounds, rate, seconds)
            return siege.tally, siege.registers
    finally:
        lab.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--rate", type=float, default=4.0, help="calls a second to each node")
    parser.add_argument("--seconds", type=float, default=6.0, help="length of one cut")
    parser.add_argument("--seed", type=int, default=1)
    enter("chaos.partition_leader", sys.argv[1:])
    args = parser.parse_args()
    tally, registers = asyncio.run(run(args.rounds, args.rate, args.seconds, args.seed))
    setting = {"coordinators": COORDINATORS, **vars(args)}
    print(json.dumps({**setting, **tally.report(), **registers.report()}, indent=1))
    return 0 if tally.within and registers.sound else 1


if __name__ == "__main__":
    sys.exit(main())
