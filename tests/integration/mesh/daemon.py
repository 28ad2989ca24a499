"""Real daemons for tests: `electrons up` as a child process on free loopback ports."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

START_SECONDS = 20.0
"""Patience for a start on a busy machine; the benchmark tells how long it really takes."""
ELECTRONS = Path(sys.executable).with_name("electrons")


class Daemon:
    """One running node."""

    def __init__(self, process: Process, hello: dict[str, Any], log: Path) -> None:
        self.process = process
        self.node_id: str = hello["node_id"]
        self.http: str = hello["http"]
        self.mesh: str = hello["mesh"]
        self.log = log

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def kill(self) -> None:
        """As a power cut would."""
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> None:
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                await asyncio.wait_for(self.process.wait(), 10)
            except TimeoutError:
                await self.kill()

    async def get(self, path: str) -> Any:
        async with aiohttp.ClientSession() as session, session.get(self.http + path) as answer:
            return await answer.json()


class Daemons:
    """Starts daemons in a folder and stops all of them at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: list[Daemon] = []
        self._numbers = itertools.count()

    async def start(
        self,
        *arguments: str,
        join: Daemon | None = None,
        env: dict[str, str] | None = None,
        program: Path = ELECTRONS,
    ) -> Daemon:
        number = next(self._numbers)
        data, log = self._folder / f"node-{number}", self._folder / f"log-{number}.txt"
        joining = ["--join", f"{join.node_id}@{join.mesh}"] if join else []
        with log.open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                program,
                *("up", "--json", "--data-dir", str(data), "--no-mdns"),
                *("--http", "127.0.0.1:0", "--mesh", "127.0.0.1:0"),
                *joining,
                *arguments,
                stdout=PIPE,
                stderr=stderr,
                env={**os.environ, **(env or {})},
            )
        assert process.stdout is not None
        try:
            line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
            line = b""
        if not line:
            raise AssertionError(f"the daemon did not start:\n{log.read_text()}")
        daemon = Daemon(process, json.loads(line), log)
        self._running.append(daemon)
        return daemon

    async def stop(self) -> None:
        await asyncio.gather(*(daemon.stop() for daemon in self._running))


async def until(condition: Callable[[], Awaitable[Any]], seconds: float = 15.0) -> Any:
    """Poll until the condition is truthy and return what it was."""
    end = time.monotonic() + seconds
    while True:
        if value := await condition():
            return value
        if time.monotonic() > end:
            raise AssertionError(f"still not true after {seconds} s")
        await asyncio.sleep(0.02)


async def until_model(daemon: Daemon, model: str, nodes: int = 1) -> None:
    """Wait until a node lists a model as served by so many nodes."""

    async def listed() -> bool:
        entries = (await daemon.get("/v1/models"))["data"]
        return any(e["id"] == model and e["nodes"] >= nodes for e in entries)

    await until(listed)
