"""Look-ups in a table of 200 nodes: real sockets, TLS, four processes on this machine.

`python -m benchmarks.dht_lookup [--nodes 200] [--json FILE]`

Cold: the asker has no link to anybody. Warm: it has those of its previous look-ups. Every look-up
is for a name the asker has not asked for before and does not hold itself, so each goes over links.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from dht.defences import CLOSED, OPEN
from dht.kademlia import KademliaDirectory
from mesh.capability import ModelRef, NodeRecord, ServedModel
from mesh.clock import SystemClock
from mesh.errors import LinkError
from mesh.identity.boot import Boot
from mesh.identity.keys import NodeKey
from mesh.ids import MeshId
from mesh.lifecycle import Tasks
from mesh.links.pool import LinkPool
from mesh.ports import StreamKind
from mesh.wire import dht
from mesh.wire.dht_records import table_key
from mesh.wire.frames import GoawayCode

PROCESSES = 4
MESH = MeshId("be" * 20)
WARM_UP = 3
WARM = 5
"""Look-ups of each asker before it counts as warm, and counted ones."""
DEAD = 0.3
FIND_TIMEOUT = 10.0
DEFENDED = "BENCHMARK_TABLE"
"""The environment variable that tells the processes what their tables defend against."""
DEFENCES = {"open": OPEN, "closed": CLOSED}


Result = tuple[bool, float, float]
"""Whether it was found, seconds, and requests that the asker sent for it on average."""


class BenchNode:
    """Links and a table, nothing else."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.rng = Random(number)
        self.key = NodeKey.generate()
        self.tasks = Tasks(f"bench {number}")
        self.links = LinkPool(
            key=self.key,
            mesh_id=MESH,
            boot=Boot(1, "00" * 8),
            listen=("127.0.0.1", 0),
        )
        self.table = KademliaDirectory(
            key=self.key,
            mesh_id=MESH,
            boot=1,
            links=self.links,
            clock=SystemClock(),
            tasks=self.tasks,
            rng=self.rng,
            defences=DEFENCES[os.environ.get(DEFENDED, "open")],
        )

    async def start(self) -> dict[str, Any]:
        await self.links.start()
        model = ServedModel(ModelRef(f"model-{self.number}", "bench"), slots=1)
        self.table.offer(
            NodeRecord(self.key.node_id, 1, 0.0, 1.0, self.links.addresses, (), "ready", (model,))
        )
        self.table.start()
        return {"id": self.key.node_id, "addresses": self.links.addresses}

    async def join(self, seed: dict[str, Any]) -> None:
        """Return once this node's own record is stored."""
        while not self.links.all():
            with suppress(LinkError):
                await self.links.connect(seed["id"], seed["addresses"])
        while not self.table.counters.published:
            await asyncio.sleep(0.02)

    async def drop_links(self) -> None:
        """Let go of every link, as after a long idle time."""
        for link in self.links.all():
            link.close(GoawayCode.IDLE, "the benchmark starts cold")
        while self.links.all():
            await asyncio.sleep(0.01)

    def holds(self, model: str) -> bool:
        key = table_key("model", model)
        return any(record.key == key for record in self.table._server.store.records())

    async def ping(self) -> float:
        """Seconds of one call over a link that is up: what the machine gives just now."""
        link = self.rng.choice(self.links.all())
        started = time.perf_counter()
        await link.call(StreamKind.DHT, dht.encode(dht.Ping(dht.Self())), timeout=5)
        return time.perf_counter() - started

    async def find(self, model: str) -> tuple[bool, float]:
        """Whether it was found, and the seconds that took."""
        started = time.perf_counter()
        found = await self.table.find_providers(model, timeout=FIND_TIMEOUT)
        return bool(found), time.perf_counter() - started

    async def kill(self) -> None:
        """Die without a word: links break, nobody listens any more."""
        await self.tasks.close()
        for link in self.links.all():
            link.give_up()
        await self.links.close()


class Worker:
    """One process: does what the parent asks, one line of JSON each way."""

    def __init__(self) -> None:
        self.nodes: dict[int, BenchNode] = {}

    async def serve(self) -> None:
        reader = asyncio.StreamReader(limit=2**22)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            order = json.loads(line)
            answer = await getattr(self, order["do"])(**order["with"])
            print(json.dumps(answer), flush=True)

    async def start(self, numbers: list[int]) -> list[dict[str, Any]]:
        self.nodes = {number: BenchNode(number) for number in numbers}
        return [await node.start() for node in self.nodes.values()]

    async def join(self, seed: dict[str, Any]) -> None:
        """One after the other, each through one that is in already, as meshes grow."""
        inside = [seed]
        for node in self.nodes.values():
            if node.key.node_id != seed["id"]:
                await node.join(node.rng.choice(inside))
                inside.append({"id": node.key.node_id, "addresses": node.links.addresses})

    async def rpcs(self, number: int) -> int:
        return self.nodes[number].table.counters.rpcs

    async def links(self) -> int:
        return sum(len(node.links.all()) for node in self.nodes.values())

    async def find(self, number: int, models: list[str], cold: bool) -> list[tuple[bool, float]]:
        node = self.nodes[number]
        if cold:
            await node.drop_links()
        return [await node.find(model) for model in models if not node.holds(model)]

    async def ping(self, number: int) -> float:
        return await self.nodes[number].ping()

    async def kill(self, numbers: list[int]) -> None:
        for number in numbers:
            await self.nodes.pop(number).kill()


class Process:
    """The parent's end of a worker."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.dht_lookup", "--worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def send(self, do: str, **arguments: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, "with": arguments}).encode() + b"\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def ask(self, do: str, **arguments: Any) -> Any:
        self.send(do, **arguments)
        return self.answer()

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


class Swarm:
    """All nodes, spread over the processes."""

    def __init__(self, count: int) -> None:
        self.rng = Random(1)
        self.alive = list(range(count))
        self.processes = [Process() for _ in range(PROCESSES)]

    def ask(self, number: int, do: str, **arguments: Any) -> Any:
        """Have one node do something."""
        return self.processes[number % PROCESSES].ask(do, number=number, **arguments)

    def some(self, count: int) -> list[int]:
        """Random living nodes."""
        return self.rng.sample(self.alive, count)

    def all(self, do: str, **arguments: Any) -> list[Any]:
        for process in self.processes:
            process.send(do, **arguments)
        return [process.answer() for process in self.processes]

    def grow(self) -> float:
        """Start and join everybody; seconds until all have published."""
        began = time.perf_counter()
        started = []
        for index, process in enumerate(self.processes):
            mine = [number for number in self.alive if number % PROCESSES == index]
            started.append(process.ask("start", numbers=mine))
        self.all("join", seed=started[0][0])
        return time.perf_counter() - began

    def kill(self, share: float) -> None:
        dead = self.rng.sample(self.alive, int(len(self.alive) * share))
        self.alive = [number for number in self.alive if number not in dead]
        for index, process in enumerate(self.processes):
            process.ask("kill", numbers=[n for n in dead if n % PROCESSES == index])

    def find(self, askers: int, *, cold: bool, names: int, skip: int = 0) -> list[Result]:
        """Each asker looks for different living nodes' models, one after the other."""
        results: list[Result] = []
        for asker in self.some(askers):
            wanted = self.rng.sample([n for n in self.alive if n != asker], names + skip)
            models = [f"model-{number}" for number in wanted]
            before = self.ask(asker, "rpcs")
            found = self.ask(asker, "find", models=models, cold=cold)
            requests = (self.ask(asker, "rpcs") - before) / max(1, len(found))
            results.extend((ok, seconds, requests) for ok, seconds in found[skip:])
        return results

    def end(self) -> None:
        for process in self.processes:
            process.end()


def summary(results: Sequence[Result]) -> dict[str, float]:
    times = sorted(seconds for _, seconds, _ in results)
    return {
        "lookups": len(times),
        "found_percent": 100 * sum(ok for ok, _, _ in results) / len(results),
        "requests_each": sum(requests for _, _, requests in results) / len(results),
        "p50_ms": 1e3 * times[len(times) // 2],
        "p99_ms": 1e3 * times[min(len(times) - 1, int(len(times) * 0.99))],
    }


def measure(count: int, defences: str = "open") -> dict[str, Any]:
    os.environ[DEFENDED] = defences
    swarm = Swarm(count)
    try:
        figures: dict[str, Any] = {"nodes": count, "grown_s": swarm.grow()}
        time.sleep(8)  # until links of the growth were let go
        figures["links_per_node"] = sum(swarm.all("links")) / count
        askers = min(100, count // 2)
        pings = sorted(swarm.ask(asker, "ping") for asker in swarm.some(askers))
        figures["one_call_p50_ms"] = 1e3 * pings[len(pings) // 2]
        figures["cold"] = summary(swarm.find(askers, cold=True, names=1))
        warm = swarm.find(askers // 2, cold=False, names=WARM, skip=WARM_UP)
        figures["warm"] = summary(warm)
        swarm.kill(DEAD)
        figures["after_30_percent_died"] = summary(swarm.find(askers, cold=False, names=3))
        return figures
    finally:
        swarm.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--mesh", choices=DEFENCES, default="open", help="open: the table defends itself"
    )
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        asyncio.run(Worker().serve())
        return
    figures = measure(arguments.nodes, arguments.mesh)
    text = json.dumps(figures, indent=1)
    print(text)
    if arguments.json is not None:
        arguments.json.write_text(text)


if __name__ == "__main__":
    main()
