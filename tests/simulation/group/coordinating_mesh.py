"""Coordinators on a memory network in virtual time, each with a real folder of its own."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from coordinator.group.coordination import Coordination
from coordinator.group.folder import GroupFolder, Opened
from coordinator.group.member import Member
from mesh.capability import Role
from mesh.consensus import Members
from mesh.errors import LinkError, NoQuorum
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.links.memory import LoopClock, MemoryLinks, MemoryNetwork
from mesh.wire.commands import Command, SetSetting, decode_outcome, encode_command

COORDINATOR: tuple[Role, ...] = ("coordinator",)
GRAIN = 0.01
"""Seconds between looks of a story that waits."""


class SkewedClock(LoopClock):
    """The loop's time with a wall clock that is off."""

    def __init__(self, skew: float) -> None:
        self._skew = skew

    def wall(self) -> float:
        return super().wall() + self._skew


class KeptFolder(GroupFolder):
    """A folder that a crash can be told."""

    opened: Opened | None = None

    async def open(self) -> Opened:
        self.opened = await super().open()
        return self.opened

    def die(self) -> None:
        """What is not on the files yet is gone; the descriptors are given back."""
        if self.opened is None:
            return
        store, state = self.opened.log, self.opened.state
        for batches in (store._batches, state._batches):
            batches.die()  # type: ignore[union-attr]
        store._log.close()
        state.rows.close()
        state._machine.close()
        self.opened = None


class Coordinator:
    """One node. `start` and `crash` can follow each other; the data stays."""

    def __init__(
        self,
        network: MemoryNetwork,
        number: int,
        data: Path,
        rng: Random,
        *,
        founds: bool = False,
        roles: tuple[Role, ...] = COORDINATOR,
        skew: float = 0.0,
    ) -> None:
        self.id = NodeId(f"{number + 1:02x}" * 20)
        self.data = data
        self._network = network
        self._rng = rng
        self._founds = founds
        self._roles = roles
        self._skew = skew
        self.running = False
        self.asks = True
        """Whether anybody can tell this node where others are."""

    async def start(self, others: Iterable[Coordinator] = ()) -> None:
        """As the daemon does; then dial the others that run."""
        self.links: MemoryLinks = self._network.join(self.id, roles=self._roles)
        self.tasks = Tasks(f"node {self.id[:8]}")
        self.clock = SkewedClock(self._skew)
        self.folder = KeptFolder(self.data)
        self.coordination = Coordination(
            own=self.id,
            founds=self._founds,
            folder=self.folder,
            links=self.links,
            addresses=lambda node: (f"tcp://{node}.memory:1",) if self.asks else (),
            clock=self.clock,
            rng=Random(self._rng.random()),
            tasks=self.tasks,
        )
        self.running = True
        await self.coordination.start()
        for other in others:
            if other is not self and other.running:
                await self.dial(other)

    async def dial(self, other: Coordinator) -> None:
        try:
            await self.links.connect(other.id, other.links.addresses, timeout=1.0)
        except LinkError:
            return  # the group dials again by itself

    async def crash(self) -> None:
        """Like kill -9."""
        self.running = False
        self._network.crash(self.id)
        await self.tasks.close()
        self.folder.die()

    async def stop(self) -> None:
        """Orderly, as the daemon does."""
        self.running = False
        await self.coordination.hand_over()
        await self.links.close()
        await self.tasks.close()
        await self.coordination.close()
        self._network._nodes.pop(self.id, None)

    @property
    def member(self) -> Member:
        member = self.coordination.group.member
        assert member is not None
        return member

    @property
    def leads(self) -> bool:
        return self.running and self.coordination.leading() is not None

    def knows_of(self) -> NodeId | None:
        return self.coordination.group.leader() if self.running else None

    def members(self) -> Members | None:
        status = self.coordination.group.status() if self.running else None
        return None if status is None else status.members

    async def write(self, key: str, value: str, *, id: str = "", timeout: float = 5.0) -> int:
        """Decide a setting; its place in the log. Raises NoQuorum or TimeoutError."""
        chosen = id or f"{self._rng.getrandbits(128):032x}"
        command = Command(chosen, self.clock.wall(), SetSetting(key, value))
        data = await self.coordination.group.propose(encode_command(command), timeout=timeout)
        outcome = decode_outcome(data)
        assert not outcome.refusal, outcome.refusal
        return outcome.index

    async def read(self, key: str, timeout: float = 5.0) -> str | None:
        """As everything confirmed before says. Raises NoQuorum or TimeoutError."""
        await self.coordination.group.read_barrier(timeout=timeout)
        return self.holds(key)

    def holds(self, key: str) -> str | None:
        """The setting as applied here."""
        state = self.coordination.state
        return None if state is None else state.rows.setting(key)


class CoordinatingMesh:
    """Some coordinators; the first one founds."""

    def __init__(self, folder: Path, seed: int) -> None:
        print(f"seed {seed}")
        self.rng = Random(seed)
        self.network = MemoryNetwork(rng=Random(seed + 1), latency=0.002, jitter=0.002)
        self.nodes: list[Coordinator] = []
        self._folder = folder
        self._numbers = itertools.count()

    def add(
        self, *, founds: bool = False, roles: tuple[Role, ...] = COORDINATOR, skew: float = 0.0
    ) -> Coordinator:
        """A node that was not started yet."""
        number = next(self._numbers)
        data = self._folder / f"node-{number}"
        rng = Random(self.rng.random())
        node = Coordinator(self.network, number, data, rng, founds=founds, roles=roles, skew=skew)
        self.nodes.append(node)
        return node

    async def found(self, count: int, *, skews: Iterable[float] = ()) -> list[Coordinator]:
        """A group of so many, with as many voters as there can be."""
        skew = itertools.chain(skews, itertools.repeat(0.0))
        nodes = [self.add(founds=not self.nodes and not n, skew=next(skew)) for n in range(count)]
        for node in nodes:
            await node.start(nodes)
        await self.settle(nodes)
        return nodes

    async def settle(self, nodes: list[Coordinator], seconds: float = 30.0) -> Coordinator:
        """Wait until all know one leader, and all can vote that an odd number allows."""
        voters = min(5, len(nodes) - 1 + len(nodes) % 2)

        def settled() -> bool:
            lists = [node.members() for node in nodes]
            return all(
                members is not None
                and len(members.voters) == voters
                and len(members.voters + members.standbys) >= len(nodes)
                for members in lists
            )

        leader = await self.leader(nodes, seconds)
        await until(settled, seconds)
        return leader

    async def leader(self, nodes: list[Coordinator], seconds: float = 10.0) -> Coordinator:
        """Wait until these agree who leads."""

        def agreed() -> Coordinator | None:
            leaders = {node.knows_of() for node in nodes}
            led = [node for node in nodes if node.leads]
            return led[0] if len(led) == 1 and leaders == {led[0].id} else None

        found = await until(agreed, seconds)
        assert isinstance(found, Coordinator)
        return found

    async def close(self) -> None:
        for node in self.nodes:
            if node.running:
                await node.crash()


@asynccontextmanager
async def coordinating_mesh(folder: Path, seed: int) -> AsyncIterator[CoordinatingMesh]:
    mesh = CoordinatingMesh(folder, seed)
    try:
        yield mesh
    finally:
        await mesh.close()


async def until(condition: Callable[[], object], seconds: float) -> object:
    """Wait in virtual time; fails after so many seconds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not (value := condition()):
        assert loop.time() < end, f"still not true after {seconds} s"
        await asyncio.sleep(GRAIN)
    return value


async def refusal_of(node: Coordinator, key: str, value: str) -> tuple[str, float]:
    """How a write ended, and after how many seconds."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        await node.write(key, value)
        end = "done"
    except NoQuorum:
        end = "refused"
    except TimeoutError:
        end = "doubt"
    return end, loop.time() - began
