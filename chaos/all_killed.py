"""Every process killed at once, again and again: `python -m chaos.all_killed --times 100`.

Five coordinators, two of them workers, and a gateway, while commands run. All are killed in one go
and started again in one go: how long until a command is acknowledged, and until the gateway has
answered a question. Everything acknowledged is read back through every coordinator, every time.
With `--power-loss` the coordinators' files are cut back to what was synced before they start.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys
import time
from dataclasses import dataclass, field
from random import Random
from typing import Any

import aiohttp
import psutil

from benchmarks.load import percentile
from chaos.coordinators import Founded, start_all, until_one_group
from chaos.leader_kills import COORDINATORS, learn_answers, settle_mesh, spread
from chaos.nodes import Node, open_nodes
from chaos.questions import Question, put
from chaos.registers import Registers
from chaos.unsynced import Dropped, drop_unsynced
from chaos.views import until_whole

WORKERS = 2
SERVING = 5.0
"""Seconds from starting the processes until a command is acknowledged."""
PATIENCE = 60.0
BETWEEN_TRIES = 0.02


@dataclass
class Tally:
    """What the kills did."""

    up: list[float] = field(default_factory=list)
    """Seconds until the last process said that it was up."""
    deciding: list[float] = field(default_factory=list)
    """Seconds from starting the processes until a command was acknowledged."""
    answering: list[float] = field(default_factory=list)
    """Until the gateway had answered a question."""
    electing: list[float] = field(default_factory=list)
    """Seconds from the first moment when a majority was up until a command was acknowledged: what
    is left of `deciding` without the start of Python itself."""
    whole: list[float] = field(default_factory=list)
    """Until all voted and missed nothing."""
    wrong_answers: list[str] = field(default_factory=list)
    dropped: Dropped = field(default_factory=Dropped)
    cpu: list[float] = field(default_factory=list)

    def report(self) -> dict[str, Any]:
        """All figures as plain data."""
        found: dict[str, Any] = {
            "kills_of_all": len(self.deciding),
            "unsynced_bytes_dropped_from_logs": self.dropped.log,
            "unsynced_bytes_dropped_from_states": self.dropped.state,
            "wrong_answers": self.wrong_answers[:10],
            "machine_busy_percent": round(percentile(self.cpu, 50)),
        }
        for name in ("up", "deciding", "electing", "answering", "whole"):
            found[f"{name}_seconds"] = spread(getattr(self, name))
        return found

    @property
    def within(self) -> bool:
        """Whether all kept to the targets."""
        return not self.wrong_answers and max(self.deciding, default=0.0) <= SERVING


class Siege:
    """Kills everything, and counts what came back."""

    def __init__(
        self, founded: Founded, gateway: Node, session: aiohttp.ClientSession, seed: int
    ) -> None:
        self._coordinators = founded.coordinators
        self._gateway = gateway
        self._all = [*founded.coordinators, gateway]
        self._session = session
        self._rng = Random(seed)
        self.registers = Registers(session, self._rng)
        self.tally = Tally()

    async def run(self, times: int, rate: float, *, power_loss: bool) -> None:
        """Kill and start all so many times."""
        known = await learn_answers(self._session, self._gateway)
        for number in range(times):
            self.registers.turn(number)
            await self._kill_all(rate)
            if power_loss:
                self._drop_unsynced()
            psutil.cpu_percent()
            await self._start_all(*self._rng.choice(known))
            self.tally.cpu.append(psutil.cpu_percent())
            await self.registers.read_back(self._coordinators, self.registers.keys)
            self._say(number + 1, times)
        await self.registers.read_back(self._coordinators, self.registers.every)

    async def _kill_all(self, rate: float) -> None:
        """In the middle of commands, whose answers are taken as far as they come."""
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.registers.keep_calling(self._coordinators, rate, over))
            await asyncio.sleep(self._rng.uniform(0.5, 2.0))
            for node in self._all:
                node.signal(signal.SIGKILL)
            over.set()
            for node in self._all:
                await node.kill()

    def _drop_unsynced(self) -> None:
        for node in self._coordinators:
            self.tally.dropped += drop_unsynced(node.data, self._rng)

    async def _start_all(self, question: Question, expected: str) -> None:
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            starting = group.create_task(start_all(self._all))
            group.create_task(self._until_decided(began))
            group.create_task(self._until_answered(began, question, expected))
            await starting
            self.tally.up.append(time.monotonic() - began)
        whole, _ = await until_one_group(self._session, self._coordinators, PATIENCE)
        self.tally.whole.append(whole - began)

    async def _until_decided(self, began: float) -> None:
        majority_up = began
        async with asyncio.timeout(PATIENCE):
            while not (done := self.registers.acknowledged_since(began)):
                living = [node for node in self._coordinators if node.alive]
                if len(living) <= COORDINATORS // 2:
                    majority_up = time.monotonic()
                if living:
                    await self.registers.write(self._rng.choice(living))
                await asyncio.sleep(BETWEEN_TRIES)
        self.tally.deciding.append(done[0].ended - began)
        self.tally.electing.append(max(0.0, done[0].ended - majority_up))

    async def _until_answered(self, began: float, question: Question, expected: str) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while not self._gateway.alive:
                    await asyncio.sleep(BETWEEN_TRIES)
                while (
                    answer := await put(self._session, self._gateway.http, question, stream=False)
                ).problem:
                    await asyncio.sleep(BETWEEN_TRIES)
            self.tally.answering.append(time.monotonic() - began)
            if answer.text != expected:
                self.tally.wrong_answers.append(f"{answer.text!r} instead of {expected!r}")
            return
        self.tally.wrong_answers.append("no answer")

    def _say(self, number: int, times: int) -> None:
        tally = self.tally
        said = f"up {tally.up[-1]:.2f} s, deciding {tally.deciding[-1]:.2f} s"
        said += f" ({tally.electing[-1]:.2f} s)"
        rest = f"answering {tally.answering[-1]:.2f} s, whole {tally.whole[-1]:.2f} s"
        busy = f"machine {tally.cpu[-1]:.0f} % busy"
        lost = f"{len(self.registers.lost)} lost"
        print(f"{number}/{times} {said}, {rest}, {busy}, {lost}", file=sys.stderr)


async def run(times: int, rate: float, seed: int, *, power_loss: bool) -> tuple[Tally, Registers]:
    """Start the nodes, kill and start them all; what came of it."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    timeout = aiohttp.ClientTimeout(total=60)
    async with open_nodes() as nodes:
        founded, gateway = settle_mesh(nodes, COORDINATORS, WORKERS)
        await start_all(nodes.all)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
            await until_whole(session, nodes.all)
            await until_one_group(session, founded.coordinators)
            siege = Siege(founded, gateway, session, seed)
            await siege.run(times, rate, power_loss=power_loss)
        return siege.tally, siege.registers


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--rate", type=float, default=20.0, help="commands and reads a second")
    parser.add_argument("--power-loss", action="store_true", help="drop what was not synced, too")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    tally, registers = asyncio.run(
        run(args.times, args.rate, args.seed, power_loss=args.power_loss)
    )
    setting = {"coordinators": COORDINATORS, "workers": WORKERS, **vars(args)}
    print(json.dumps({**setting, **tally.report(), **registers.report()}, indent=1))
    return 0 if tally.within and registers.sound else 1


if __name__ == "__main__":
    sys.exit(main())
