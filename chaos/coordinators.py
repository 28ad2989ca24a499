"""A founded mesh of real daemons with coordinators, and what these say about their group."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from chaos.nodes import ELECTRONS, Node, Nodes

POLL_SECONDS = 0.03
LOOK_SECONDS = 2.0
"""Patience for one look at a group: a frozen node must not hold up the others' looks."""
CAUGHT_UP = 8
"""Entries a member may lag behind and still count: commands go on while it is looked at."""


@dataclass(frozen=True)
class Sight:
    """The group as one node reports it."""

    leader: str | None
    term: int
    voters: frozenset[str]
    lag: dict[str, int | None]
    silent: frozenset[str]

    def has(self, node_id: str) -> bool:
        """Whether this node votes, is heard and has what the others have."""
        lag = self.lag.get(node_id)
        heard = node_id in self.voters and node_id not in self.silent
        return self.leader is not None and heard and lag is not None and lag <= CAUGHT_UP


class Founded:
    """A mesh with a root key of its own. Ports stay the same when a node is started again."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._folder = nodes.folder / "mesh"
        self._ports: list[int] = []
        created = _electrons("mesh", "create", str(self._folder))
        self.mesh_id = str(created["mesh_id"])
        self.coordinators: list[Node] = []

    def add(
        self, *arguments: str, coordinates: bool, enter: Sequence[str] = (), host: str = "127.0.0.1"
    ) -> Node:
        """A node that joins by the coordinators added before it. It is not started yet."""
        port = free_port() if host == "127.0.0.1" else 7000
        joins = [word for address in self._addresses() for word in ("--join", address)]
        words = ("--network", self.mesh_id, "--mesh", f"{host}:{port}", *joins)
        node = self._nodes.add(*words, *arguments, enter=enter, host=host)
        role = "coordinator" if coordinates else "worker"
        granting = ("mesh", "grant", str(self._folder), "--data-dir", str(node.data))
        _electrons(*granting, "--role", role)
        if coordinates:
            self.coordinators.append(node)
            self._ports.append(port)
        return node

    def _addresses(self) -> list[str]:
        pairs = zip(self.coordinators, self._ports, strict=True)
        return [f"{node.host}:{port}" for node, port in pairs]


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def start_all(nodes: Iterable[Node]) -> None:
    """Start all side by side, as after a power cut."""
    async with asyncio.TaskGroup() as group:
        for node in nodes:
            group.create_task(node.start())


async def look(session: aiohttp.ClientSession, node: Node) -> Sight | None:
    """What a node reports now; None when it does not answer."""
    patience = aiohttp.ClientTimeout(total=LOOK_SECONDS)
    try:
        async with session.get(f"{node.http}/api/coordinators", timeout=patience) as answer:
            body = await answer.json()
    except (aiohttp.ClientError, TimeoutError):
        return None
    members = body["members"]
    return Sight(
        body["leader"],
        body.get("term", 0),
        frozenset(each["node_id"] for each in members if each["part"] == "voter"),
        {each["node_id"]: each["lag"] for each in members},
        frozenset(each["node_id"] for each in members if each["silent"]),
    )


async def until_all_say(
    session: aiohttp.ClientSession,
    nodes: Iterable[Node],
    condition: Callable[[Sight], bool],
    seconds: float,
) -> list[tuple[float, Sight]]:
    """When each node first reported so, by time.monotonic, and what. Raises TimeoutError."""

    async def watch(node: Node) -> tuple[float, Sight]:
        while (sight := await look(session, node)) is None or not condition(sight):
            await asyncio.sleep(POLL_SECONDS)
        return time.monotonic(), sight

    async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
        watching = [group.create_task(watch(node)) for node in nodes]
    return [task.result() for task in watching]


async def until_one_group(
    session: aiohttp.ClientSession, nodes: Sequence[Node], seconds: float = 60.0
) -> tuple[float, Node]:
    """Return when all vote, have everything and name one leader: since when, and the leader."""
    ids = [node.node_id for node in nodes]
    async with asyncio.timeout(seconds):
        while True:
            found = await until_all_say(
                session, nodes, lambda sight: all(sight.has(each) for each in ids), seconds
            )
            if len({(sight.leader, sight.term) for _, sight in found}) == 1:
                leader = next(node for node in nodes if node.node_id == found[0][1].leader)
                return max(at for at, _ in found), leader


def _electrons(*words: str) -> dict[str, Any]:
    done = subprocess.run(
        [str(ELECTRONS), *words, "--json"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"electrons {' '.join(words)}: {done.stderr.strip()}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found
