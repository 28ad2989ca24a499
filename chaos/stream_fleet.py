"""A gateway and the workers behind it, which are lost and come back."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Literal

import aiohttp

from benchmarks.processes import Child, Stage
from chaos.stream_client import ask

RATE = 60
"""Tokens that a worker gives out in a second."""
STOPPED_SECONDS = 4.0
READY_SECONDS = 30.0

By = Literal["kill", "stop"]
Engine = Literal["demo", "vllm", "llama.cpp"]


class Fleet:
    """Workers with the demo engine, or each with a fake server that outlives it and counts."""

    def __init__(self, processes: Stage, workers: int, engine: Engine, tokens: int) -> None:
        self._processes = processes
        self.model = "demo" if engine == "demo" else "fake-7b"
        self.gateway = processes.node("--engine", "none", core=None)
        self._workers: dict[str, Child] = {}
        self._servers: dict[str, str] = {}
        """Of a fake server's URL by the node id of its worker."""
        for _ in range(workers):
            url = "" if engine == "demo" else self._start_server(engine, tokens)
            self._start_worker(url)

    @property
    def url(self) -> str:
        return str(self.gateway.hello["http"])

    @property
    def counts(self) -> bool:
        """Whether what was generated can be told."""
        return any(self._servers.values())

    async def generated(self, session: aiohttp.ClientSession) -> int:
        """Tokens that all fake servers have generated; 0 without any."""
        total = 0
        for url in filter(None, self._servers.values()):
            async with session.get(f"{url}/fake") as answer:
                total += (await answer.json())["seen"]["tokens"]
        return total

    async def prepare(self, session: aiohttp.ClientSession) -> None:
        """Return when all is ready to be lost."""
        for url in filter(None, self._servers.values()):
            async with session.post(f"{url}/fake", json={"by_tokens": True}) as answer:
                answer.raise_for_status()
        for worker in self._workers.values():
            await self._make_ready(session, worker)

    def lose(self, node: str, by: By) -> None:
        """Kill or stop a worker, at once."""
        os.kill(self._workers[node].pid, signal.SIGKILL if by == "kill" else signal.SIGSTOP)

    async def restore(self, session: aiohttp.ClientSession, node: str, by: By) -> None:
        """Let a stopped worker go on, or start one in the place of a killed one; then know it."""
        worker = self._workers[node]
        if by == "kill":
            await asyncio.to_thread(worker.kill)  # dead already: this only buries it
            del self._workers[node]
            worker = await asyncio.to_thread(self._start_worker, self._servers.pop(node))
        else:
            await asyncio.sleep(STOPPED_SECONDS)
            os.kill(worker.pid, signal.SIGCONT)
        await self._make_ready(session, worker)

    async def _make_ready(self, session: aiohttp.ClientSession, worker: Child) -> None:
        """Return when the gateway knows that a worker serves, and this one has answered once.

        The demo engine's process starts with its first job, which is no part of what is measured.
        """
        end = time.monotonic() + READY_SECONDS
        while worker.hello["node_id"] not in await self._known(session):
            if time.monotonic() > end:
                raise RuntimeError("a worker did not come back")
            await asyncio.sleep(0.02)
        await ask(session, worker.hello["http"], self.model, "Hello.", 0, tokens=2)

    async def _known(self, session: aiohttp.ClientSession) -> set[str]:
        async with session.get(f"{self.url}/api/models") as answer:
            models = (await answer.json())["models"]
        return {each["node_id"] for m in models if m["id"] == self.model for each in m["providers"]}

    def _start_worker(self, server: str) -> Child:
        engine = ("--engine", server) if server else ("--engine", "demo", "--demo-rate", str(RATE))
        join = ("--join", self.gateway.hello["mesh"])
        child = self._processes.node(*engine, *join, core=None)
        self._workers[child.hello["node_id"]] = child
        self._servers[child.hello["node_id"]] = server
        return child

    def _start_server(self, kind: str, tokens: int) -> str:
        pace = ("--length", str(tokens), "--delay", str(1 / RATE))
        child = self._processes.module(
            "tests.fakes.openai_server", "--kind", kind, *pace, core=None
        )
        return str(child.hello["url"])
