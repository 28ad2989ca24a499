"""What the lean front end gains: requests per second with a dispatch that answers at once.

One server process per front end, pinned to one core where the system lets us; the load generator
runs beside it on another. Rounds alternate between the two, so that both see the same noise.
Run: python -m benchmarks.gateway_front [--seconds 2] [--rounds 5] [--clients 1 16 64]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from multiprocessing.connection import Connection
from random import Random

from mesh.capability import Peer
from mesh.ids import NodeId
from mesh.jobs import Chunk, Finish, JobSpec, Usage
from mesh.ports import JobEvent, Provider, Request
from node.gateway.accounts import LocalAccounts
from node.gateway.gateway import Gateway
from node.gateway.settings import Health, Suppliers

NODE = NodeId("0" * 40)
EVENTS: tuple[JobEvent, ...] = (Chunk("Hello there"), Finish(("stop",), Usage(3, 2)))
BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}]}).encode()
REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\n"
    b"Accept: application/json\r\nAuthorization: Bearer none\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
)


class ImmediateRun:
    """A run that is over as soon as it is asked."""

    node = NODE
    routing_seconds = 0.0
    queue_seconds = 0.0
    attempts = 1

    async def events(self) -> AsyncIterator[JobEvent]:
        for event in EVENTS:
            yield event

    async def close(self) -> None:
        return


class ImmediateDispatch:
    """Accepts everything at once."""

    async def submit(self, job: JobSpec, request: Request) -> ImmediateRun:
        return ImmediateRun()


class EmptyView:
    """Knows nobody."""

    def peers(self) -> Sequence[Peer]:
        return ()

    def providers(self, model: str) -> Sequence[Provider]:
        return ()

    def draw(self, model: str, most: int, rng: Random) -> tuple[Sequence[Provider], int]:
        return (), 0

    def provider(self, model: str, node: NodeId) -> Provider | None:
        return None

    def models(self) -> Sequence[Provider]:
        return ()

    def seen_lately(self, model: str) -> bool:
        return False


def serve(lean: bool, pipe: Connection) -> None:
    """A gateway in a process of its own; answers "cpu" with its processor seconds."""
    pin(0)
    asyncio.run(_serve(lean, pipe))


async def _serve(lean: bool, pipe: Connection) -> None:
    gateway = Gateway(
        node_id=NODE,
        dispatch=ImmediateDispatch(),
        view=EmptyView(),
        accounts=LocalAccounts(),
        suppliers=Suppliers(dict, tuple, lambda: Health(True, "first")),
        lean=lean,
    )
    await gateway.start("127.0.0.1", 0)
    pipe.send(gateway.port)
    stop = asyncio.Event()

    def answer() -> None:
        if pipe.recv() == "cpu":
            pipe.send(time.process_time())
        else:
            stop.set()

    asyncio.get_running_loop().add_reader(pipe.fileno(), answer)
    await stop.wait()
    await gateway.close()


class Client(asyncio.Protocol):
    """Sends the next request when an answer is complete; checks each."""

    def __init__(self) -> None:
        self.answers = 0
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, blank, body = self._buffer.partition(b"\r\n\r\n")
        if not blank:
            return
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        if len(body) < length:
            return
        if not head.startswith(b"HTTP/1.1 200 ") or b'"Hello there"' not in body:
            raise SystemExit(f"a wrong answer: {self._buffer[:300]!r}")
        self._buffer = b""
        self.answers += 1
        if self._transport is not None:
            self._transport.write(REQUEST)


async def load(port: int, clients: int, seconds: float) -> float:
    """Answers per second."""
    loop = asyncio.get_running_loop()
    opened = [await loop.create_connection(Client, "127.0.0.1", port) for _ in range(clients)]
    await asyncio.sleep(seconds / 10)
    before, started = sum(client.answers for _, client in opened), loop.time()
    await asyncio.sleep(seconds)
    done, elapsed = sum(client.answers for _, client in opened) - before, loop.time() - started
    for transport, _ in opened:
        transport.abort()
    await asyncio.sleep(0.05)
    return done / elapsed


class Subject:
    """One front end under test."""

    def __init__(self, name: str, lean: bool) -> None:
        self.name = name
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(lean, theirs), daemon=True)
        self._process.start()
        self.port = int(self._pipe.recv())

    def cpu(self) -> float:
        self._pipe.send("cpu")
        return float(self._pipe.recv())

    def stop(self) -> None:
        self._pipe.send("stop")
        self._process.join(10)


def pin(core: int) -> None:
    """Keep this process on one core, so that server and load do not share one."""
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {core})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16, 64])
    options = parser.parse_args()
    subjects = [Subject("aiohttp", lean=False), Subject("lean", lean=True)]
    pin(1)
    for clients in options.clients:
        print(f"{clients} clients")
        rates: dict[str, list[float]] = {}
        for _ in range(options.rounds):
            for subject in subjects:
                cpu = subject.cpu()
                rate = asyncio.run(load(subject.port, clients, options.seconds))
                cost = (subject.cpu() - cpu) / (rate * options.seconds * 1.1)
                rates.setdefault(subject.name, []).append(rate)
                rates.setdefault(f"{subject.name} cpu", []).append(cost * 1e6)
        for subject in subjects:
            rate = statistics.median(rates[subject.name])
            cost = statistics.median(rates[f"{subject.name} cpu"])
            print(f"  {subject.name:8} {rate:8.0f} requests/s  {cost:6.0f} us of CPU a request")
        pairs = zip(rates["lean"], rates["aiohttp"], strict=True)
        ratios = sorted(lean / full for lean, full in pairs)
        print(f"  ratio    {statistics.median(ratios):.2f} [{ratios[0]:.2f} - {ratios[-1]:.2f}]")
    for subject in subjects:
        subject.stop()


if __name__ == "__main__":
    main()
