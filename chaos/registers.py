"""Registers in the coordinators' replicated state, written and read by clients all the time.

A register is a declared service that asks for no provider; its value stands in the field `memory`.
Every call is kept, so that afterwards `chaos.consensus.linearizable` can say whether all of them
could have happened in one order.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from random import Random
from typing import Any, Literal

import aiohttp

from chaos.consensus.linearizable import Operation, find_nonlinear_key
from chaos.nodes import Node
from mesh.storage.run_file import read_run_file

Outcome = Literal["acknowledged", "refused", "in doubt", "failed"]
"""`refused`: certainly not done. `in doubt`: the client cannot know. `failed`: anything else."""

MAX_REGISTERS = 1000
"""The state takes 1,024 targets."""
KEYS_AT_ONCE = 8
"""Registers in use at one time: few, so that calls on the same one overlap."""
READ_SHARE = 0.25
PATIENCE = aiohttp.ClientTimeout(total=10)
BETWEEN_READS = 0.05


@dataclass(frozen=True)
class Call:
    """One write or read through one node. Reads have no key and value here."""

    kind: Literal["write", "read"]
    node: Node
    began: float
    ended: float
    outcome: Outcome
    key: str = ""
    value: int = 0
    problem: str = ""


class Registers:
    """Clients of the registers, with the memory of all that they were told."""

    def __init__(self, session: aiohttp.ClientSession, rng: Random) -> None:
        self._session = session
        self._rng = rng
        self._last = 0
        """The value written last: every value is written once."""
        self.calls: list[Call] = []
        self.history: list[Operation] = []
        self.keys: tuple[str, ...] = ()
        self.every: list[str] = []
        self.lost: set[str] = set()
        """Registers in which a node, read back, missed an acknowledged write."""

    def turn(self, number: int) -> None:
        """Use other registers from now on, so that each one's history stays short."""
        first = number * KEYS_AT_ONCE % (MAX_REGISTERS // KEYS_AT_ONCE * KEYS_AT_ONCE)
        self.keys = tuple(f"register-{first + place}" for place in range(KEYS_AT_ONCE))
        self.every.extend(key for key in self.keys if key not in self.every)

    async def write(self, node: Node) -> Call:
        """Write a new value to one of the registers in use."""
        self._last += 1
        key, value, began = self._rng.choice(self.keys), self._last, time.monotonic()
        body = {"model": "register", "min_replicas": 0, "priority": 9, "memory": value}
        outcome, _, problem = await self._ask("PUT", node, f"/api/services/{key}", body)
        call = Call("write", node, began, time.monotonic(), outcome, key, value, problem)
        self.calls.append(call)
        if outcome == "acknowledged":
            self.history.append(Operation("write", key, value, began, call.ended))
        elif outcome == "in doubt":
            self.history.append(Operation("write", key, value, began))
        return call

    async def read(self, node: Node, keys: Sequence[str] = ()) -> Call:
        """Read registers, those in use unless others are named, in one request."""
        keys, began = keys or self.keys, time.monotonic()
        outcome, found, problem = await self._ask("GET", node, "/api/services")
        call = Call("read", node, began, time.monotonic(), outcome, problem=problem)
        self.calls.append(call)
        if outcome == "acknowledged":
            values = {each["name"]: each["memory"] for each in found["services"]}
            for key in keys:
                read = Operation("read", key, values.get(key), began, call.ended)
                self.history.append(read)
        return call

    async def read_back(self, nodes: Iterable[Node], keys: Sequence[str]) -> None:
        """Read these registers through each node, and note what is missing.

        A node that knows no leader at this moment is asked again, `PATIENCE` long. Raises
        RuntimeError where a node does not answer.
        """
        for node in nodes:
            before, began = len(self.history), time.monotonic()
            call = await self.read(node, keys)
            while call.outcome == "refused" and call.ended - began < (PATIENCE.total or 0):
                await asyncio.sleep(BETWEEN_READS)
                call = await self.read(node, keys)
            if call.outcome != "acknowledged":
                raise RuntimeError(f"node {node.number} cannot be read back: {call}")
            self.lost |= missed(self.history[:before], self.history[before:])

    async def keep_calling(self, nodes: Sequence[Node], rate: float, over: asyncio.Event) -> None:
        """So many calls a second through random ones of them that live, none awaiting another."""
        async with asyncio.TaskGroup() as group:
            due = time.monotonic()
            while not over.is_set():
                if living := [node for node in nodes if node.alive]:
                    node = self._rng.choice(living)
                    reads = self._rng.random() < READ_SHARE
                    group.create_task(self.read(node) if reads else self.write(node))
                due += 1 / rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))

    def acknowledged_since(self, moment: float) -> list[Call]:
        """Writes that began after that moment and were acknowledged, in order of their ends."""
        return [
            call
            for call in self.calls
            if call.kind == "write" and call.outcome == "acknowledged" and call.began >= moment
        ]

    async def until_acknowledged(self, moment: float, seconds: float) -> float:
        """When the first write that began after that moment was acknowledged."""
        async with asyncio.timeout(seconds):
            while not (done := self.acknowledged_since(moment)):
                await asyncio.sleep(0.005)
        return done[0].ended

    def nonlinear_key(self) -> str | None:
        """A register whose calls could not have happened in one order; None when all could."""
        return find_nonlinear_key(self.history)

    def report(self) -> dict[str, Any]:
        """What became of the calls."""
        writes = Counter(call.outcome for call in self.calls if call.kind == "write")
        reads = Counter(call.outcome for call in self.calls if call.kind == "read")
        return {
            "commands": writes.total(),
            "commands_acknowledged": writes["acknowledged"],
            "commands_refused": writes["refused"],
            "commands_in_doubt": writes["in doubt"],
            "commands_failed": writes["failed"],
            "reads": reads.total(),
            "reads_answered": reads["acknowledged"],
            "registers": len(self.every),
            "registers_with_lost_commands": sorted(self.lost),
            "not_linearisable": self.nonlinear_key(),
            "problems": dict(Counter(each.problem for each in self.calls if each.problem)),
        }

    @property
    def sound(self) -> bool:
        """Whether nothing acknowledged was lost, and one order explains all."""
        failed = any(call.outcome == "failed" for call in self.calls)
        return not failed and not self.lost and self.nonlinear_key() is None

    async def _ask(
        self, method: str, node: Node, path: str, body: dict[str, Any] | None = None
    ) -> tuple[Outcome, Any, str]:
        try:
            headers = {"Authorization": f"Bearer {token_of(node)}"}
            async with self._session.request(
                method, f"{node.http}{path}", json=body, headers=headers, timeout=PATIENCE
            ) as answer:
                found = await answer.json()
                return _outcome(answer.status, found)
        # Also a refused connection: aiohttp repeats a PUT by itself when the first one broke.
        except (aiohttp.ClientError, TimeoutError) as error:
            return "in doubt", None, type(error).__name__


def _outcome(status: int, found: Any) -> tuple[Outcome, Any, str]:
    if status == 200:
        return "acknowledged", found, ""
    code = found.get("error_code")
    if (status, code) == (503, "NO_QUORUM"):
        return "refused", found, ""
    if (status, code) == (504, "UNDECIDED"):
        return "in doubt", found, ""
    return "failed", found, f"status {status}: {code}"


def missed(calls: Iterable[Operation], reads: Iterable[Operation]) -> set[str]:
    """Registers whose read shows less than a write that was acknowledged before it began."""
    writes = [each for each in calls if each.kind == "write"]
    known = {(each.key, each.value): each for each in writes}
    newest: dict[str, float] = {}
    for each in writes:
        if each.ended < inf:
            newest[each.key] = max(each.began, newest.get(each.key, -inf))
    found = set()
    for read in reads:
        seen = known.get((read.key, read.value))
        if read.key in newest and (seen is None or seen.ended < newest[read.key]):
            found.add(read.key)
    return found


def token_of(node: Node) -> str:
    """What opens the node's API as its owner."""
    info = read_run_file(node.data)
    return "" if info is None else info.token
