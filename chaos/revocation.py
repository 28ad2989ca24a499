"""Throws nodes out of a mesh under load: `python -m chaos.revocation`.

A founded mesh of coordinators and of workers that joined by tickets. Streams run without a pause;
the worker of one of them is revoked, by a random coordinator. The clock runs from the request until
no other node lists it any more. Then it is started again from its folder, which must not bring it
back, and a new worker joins in its place.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import aiohttp

from chaos.coordinators import Founded, start_all, until_one_group
from chaos.nodes import Node, Nodes, open_nodes
from chaos.stream_client import ask

TARGET: Final = 3.0
"""Seconds from the request until a revoked node is out of everybody's view."""
PATIENCE: Final = 20.0
AGAIN_SECONDS: Final = 2.0
"""How long a revoked node that was started again is looked for."""
TOKENS: Final = 60
RATE: Final = "40"
"""Tokens a second of each worker: a stream lasts one and a half seconds."""
POLL: Final = 0.05
MODEL: Final = "demo"


@dataclass
class Report:
    """What came of it."""

    revoked: int = 0
    out_seconds: list[float] = field(default_factory=list)
    decided_seconds: list[float] = field(default_factory=list)
    never_out: int = 0
    came_back: int = 0
    """Seen by anybody after it was started again."""
    streams: int = 0
    streams_resumed: int = 0
    failures: list[str] = field(default_factory=list)

    def judge(self, *, timed: bool) -> bool:
        """Whether all is as it must be."""
        wrong = self.never_out or self.came_back or self.failures or not self.revoked
        slow = timed and max(self.out_seconds, default=PATIENCE) > TARGET
        return not wrong and not slow

    def as_json(self) -> dict[str, Any]:
        """For the standard output."""
        return {
            "revoked": self.revoked,
            "out_everywhere_seconds": _spread(self.out_seconds),
            "decided_seconds": _spread(self.decided_seconds),
            "never_out": self.never_out,
            "came_back": self.came_back,
            "streams": self.streams,
            "streams_resumed": self.streams_resumed,
            "failures": self.failures[:20],
        }


class Mesh:
    """Coordinators, the first of which is the clients' gateway, and workers by ticket."""

    def __init__(self, nodes: Nodes, session: aiohttp.ClientSession, rng: Random) -> None:
        self._nodes = nodes
        self._session = session
        self._rng = rng
        self._founded = Founded(nodes)
        self.coordinators: list[Node] = []
        self.workers: list[Node] = []

    @property
    def gateway(self) -> Node:
        return self.coordinators[0]

    @property
    def running(self) -> list[Node]:
        return [*self.coordinators, *self.workers]

    async def start(self, coordinators: int, workers: int) -> None:
        """Return when every worker is known to the gateway."""
        add = self._founded.add
        self.coordinators = [add("--engine", "none", coordinates=True) for _ in range(coordinators)]
        await self.gateway.start()
        await start_all(self.coordinators[1:])
        await until_one_group(self._session, self.coordinators)
        for _ in range(workers):
            await self.add_worker()

    async def add_worker(self) -> None:
        """A new machine that joins by a ticket, and answers once."""
        ticket = await self._ticket()
        node = self._nodes.add("--engine", MODEL, "--demo-rate", RATE, "--ticket", ticket)
        await node.start()
        self.workers.append(node)
        end = time.monotonic() + PATIENCE
        while not await self.sees(self.gateway, node.node_id):
            if time.monotonic() > end:
                raise RuntimeError("a worker that joined is not seen")
            await asyncio.sleep(POLL)
        await ask(self._session, node.http, MODEL, "Hello.", 0, tokens=2)

    async def revoke(self, node_id: str) -> None:
        """By a random coordinator."""
        coordinator = self._rng.choice(self.coordinators)
        await self._post(coordinator, "/api/revocations", {"node_id": node_id})

    async def seen_by(self, node_id: str) -> list[Node]:
        """Who lists the node now."""
        others = [node for node in self.running if node.node_id != node_id]
        seen = await asyncio.gather(*(self.sees(other, node_id) for other in others))
        return [other for other, sees in zip(others, seen, strict=True) if sees]

    async def sees(self, node: Node, node_id: str) -> bool:
        """Whether a node lists another as there."""
        async with self._session.get(f"{node.http}/api/peers") as answer:
            peers = (await answer.json())["peers"]
        return any(each["node_id"] == node_id and each["state"] != "gone" for each in peers)

    async def _ticket(self) -> str:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                answer = await self._post(self.gateway, "/api/invites", {})
                return str(answer["ticket"])
            except RuntimeError:
                if time.monotonic() > end:
                    raise
            await asyncio.sleep(POLL)

    async def _post(self, node: Node, path: str, body: dict[str, Any]) -> dict[str, Any]:
        token = json.loads((node.data / "run.json").read_text())["token"]
        headers = {"Authorization": f"Bearer {token}"}
        async with self._session.post(node.http + path, json=body, headers=headers) as answer:
            if answer.status != 200:
                raise RuntimeError(await answer.text())
            found: dict[str, Any] = await answer.json()
            return found


class Load:
    """Streams through the gateway, each of which must be whole and exact."""

    def __init__(self, mesh: Mesh, session: aiohttp.ClientSession, report: Report) -> None:
        self._mesh = mesh
        self._session = session
        self._report = report
        self._whole: dict[int, str] = {}
        self.serving: dict[int, str] = {}
        """Who answers which client now."""
        self.ended = False

    async def learn(self, clients: int) -> None:
        """What each answer is when nobody is disturbed."""
        for client in range(clients):
            told = await self._ask(client, 0)
            self._whole[client] = told.text

    async def run(self, client: int) -> None:
        """One client, until `ended`."""
        while not self.ended:
            try:
                told = await self._ask(client, 5)
            except aiohttp.ClientError as error:
                self._report.failures.append(f"client {client}: {error}")
                continue
            self._report.streams += 1
            self._report.streams_resumed += told.resumed > 0
            if not told.done or told.text != self._whole[client]:
                self._report.failures.append(f"client {client}: not the whole answer")

    async def _ask(self, client: int, at: int) -> Any:
        def note(node: str) -> None:
            self.serving[client] = node

        prompt = f"Tell me a story about owl number {client}."
        url = self._mesh.gateway.http
        return await ask(
            self._session, url, MODEL, prompt, client, tokens=TOKENS, lose_at=at, lose=note
        )


async def throw_out(mesh: Mesh, load: Load, report: Report, rng: Random, *, plant: bool) -> None:
    """Revoke the worker of a running stream, and see that it stays out."""
    busy = [node for node in mesh.workers if node.node_id in set(load.serving.values())]
    node = rng.choice(busy or mesh.workers)
    began = time.monotonic()
    if not plant:
        await mesh.revoke(node.node_id)
    report.decided_seconds.append(time.monotonic() - began)
    report.revoked += 1
    while await mesh.seen_by(node.node_id):
        if time.monotonic() > began + PATIENCE:
            report.never_out += 1
            break
        await asyncio.sleep(POLL)
    report.out_seconds.append(time.monotonic() - began)
    mesh.workers.remove(node)
    await node.kill()
    await node.start()
    end = time.monotonic() + AGAIN_SECONDS
    while time.monotonic() < end:
        if await mesh.seen_by(node.node_id):
            report.came_back += 1
            break
        await asyncio.sleep(POLL)
    await node.stop()


async def run(arguments: argparse.Namespace) -> Report:
    """All rounds."""
    report, rng = Report(), Random(arguments.seed)
    patience = aiohttp.ClientTimeout(total=60.0)
    async with open_nodes() as nodes, aiohttp.ClientSession(timeout=patience) as session:
        mesh = Mesh(nodes, session, rng)
        await mesh.start(arguments.coordinators, arguments.workers)
        load = Load(mesh, session, report)
        await load.learn(arguments.streams)
        async with asyncio.TaskGroup() as clients:
            for client in range(arguments.streams):
                clients.create_task(load.run(client))
            for number in range(arguments.times):
                await asyncio.sleep(rng.uniform(0.5, 1.5))
                await throw_out(mesh, load, report, rng, plant=arguments.plant)
                print(f"{number + 1}: {report.out_seconds[-1]:.2f} s", file=sys.stderr)
                if number + 1 < arguments.times:
                    await mesh.add_worker()
            load.ended = True
    return report


def _spread(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds) or [0.0]
    middle = ordered[len(ordered) // 2]
    return {"p50": round(middle, 3), "max": round(ordered[-1], 3)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--coordinators", type=int, default=3)
    parser.add_argument("--workers", type=int, default=6)
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plant", action="store_true", help="revoke nobody: the run must fail")
    parser.add_argument("--untimed", action="store_true", help="judge no seconds")
    arguments = parser.parse_args()
    report = asyncio.run(run(arguments))
    print(json.dumps(report.as_json(), indent=1))
    return 0 if report.judge(timed=not arguments.untimed) else 1


if __name__ == "__main__":
    sys.exit(main())
