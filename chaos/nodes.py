"""Nodes that die and come back: daemons as child processes, started side by side."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

ELECTRONS = Path(sys.executable).with_name("electrons")
START_SECONDS = 60.0
"""Patience for a start while the machine is kept busy on purpose."""
STOP_SECONDS = 12.0
"""A daemon takes 5 s at most to finish what runs."""
STARTED_AT_ONCE = 3


class Node:
    """One daemon with its data folder, in which it is started again and again."""

    def __init__(
        self, number: int, folder: Path, arguments: Sequence[str], enter: Sequence[str], host: str
    ) -> None:
        self.number = number
        self.arguments = tuple(arguments)
        self.host = host
        self.data = folder / f"node-{number}"
        self.log = folder / f"log-{number}.txt"
        self.hello: dict[str, Any] = {}
        self.starts = 0
        """Goes up with every start, so that a client can tell whether its gateway was replaced."""
        self.alive = False
        """Running and not told to stop."""
        self._enter = tuple(enter)
        self._process: Process | None = None

    @property
    def node_id(self) -> str:
        return str(self.hello["node_id"])

    @property
    def http(self) -> str:
        return str(self.hello["http"])

    @property
    def address(self) -> str:
        """By which others join."""
        return f"{self.node_id}@{self.hello['mesh']}"

    async def start(self, join: Sequence[Node] = ()) -> None:
        """Return when it says that it is up. Raises RuntimeError with its log."""
        fixed = ("up", "--json", "--no-mdns", "--data-dir", str(self.data))
        ports = ("--http", f"{self.host}:0", "--mesh", f"{self.host}:0")
        joining = [word for node in join for word in ("--join", node.address)]
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(*self._enter, str(ELECTRONS), *fixed, *ports, *self.arguments, *joining),
                stdout=PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"node {self.number} did not start: {self.log.read_text()[-2000:]}")
        self.hello = json.loads(line)
        self.starts += 1
        self.alive = True

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the daemon. Harmless when it has ended."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def kill(self) -> None:
        """As a power cut would."""
        self.alive = False
        self.signal(signal.SIGKILL)
        if self._process is not None:
            await self._process.wait()

    async def stop(self) -> None:
        """Ask it to stop, then insist."""
        self.alive = False
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        if self._process is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await self._process.wait()
                    return
            await self.kill()


class Nodes:
    """All nodes of one mesh, in one temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.all: list[Node] = []
        self.folder = folder
        self._starting = asyncio.Semaphore(STARTED_AT_ONCE)

    def add(self, *arguments: str, enter: Sequence[str] = (), host: str = "127.0.0.1") -> Node:
        """A node that is not started yet; `enter` are words put before its command."""
        node = Node(len(self.all), self.folder, arguments, enter, host)
        self.all.append(node)
        return node

    async def start(self) -> None:
        """Start all: the first alone, the others side by side, joining by the first."""
        first = self.all[0]
        await first.start()

        async def join(node: Node) -> None:
            async with self._starting:
                await node.start([first])

        async with asyncio.TaskGroup() as group:
            for node in self.all[1:]:
                group.create_task(join(node))
        print(f"{len(self.all)} nodes are up", file=sys.stderr)

    async def stop(self) -> None:
        async with asyncio.TaskGroup() as group:
            for node in self.all:
                group.create_task(node.stop())


@asynccontextmanager
async def open_nodes() -> AsyncIterator[Nodes]:
    """No nodes yet; stopped at the end, with their folder."""
    with tempfile.TemporaryDirectory(prefix="electrons-chaos-") as folder:
        nodes = Nodes(Path(folder))
        try:
            yield nodes
        finally:
            await nodes.stop()
