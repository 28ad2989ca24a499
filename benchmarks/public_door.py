"""A gateway through a public door against the same one asked directly.

`python -m benchmarks.public_door [--quick]`. Keeper, node and client share this machine; the direct
way has no TLS, so the difference is the door's and TLS's together.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import statistics
import time
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from benchmarks.processes import Child, Stage, stage

DOMAIN = "mesh.example"
VISITS, QUICK_VISITS = 200, 20
REQUESTS, QUICK_REQUESTS = 1_000, 100
PAGES, QUICK_PAGES = 400, 40
IDLE, QUICK_IDLE = 1_000, 100
"""Visitors that stay: as many as one name may have."""
PATIENCE = 20.0
SMALL, LARGE = "/health/live", "/openapi.json"


@dataclass(frozen=True, slots=True)
class Way:
    """How the node is asked."""

    host: str
    port: int
    context: ssl.SSLContext | None

    def request(self, path: str) -> bytes:
        """A GET that keeps the connection."""
        name = self.host if self.context is None else f"{self.host}:{self.port}"
        return f"GET {path} HTTP/1.1\r\nHost: {name}\r\n\r\n".encode()


class Visit:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, request: bytes) -> int:
        """Send a request and take its whole answer; bytes of the body."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode())
        size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await self._reader.readexactly(size)
        return size

    def leave(self) -> None:
        """Drop the connection."""
        self._writer.transport.abort()


async def visit(way: Way) -> Visit:
    """Connect; through a door that is TCP, the name, a pipe of the node's, and TLS."""
    options = {} if way.context is None else {"server_hostname": way.host, "ssl": way.context}
    return Visit(*await asyncio.open_connection("127.0.0.1", way.port, **options))  # type: ignore[arg-type]


async def measure_way(way: Way, *, quick: bool) -> dict[str, float]:
    """Milliseconds of a first answer, of one more, and megabytes a second of large ones."""
    first, more = [], []
    for _ in range(QUICK_VISITS if quick else VISITS):
        began = time.perf_counter()
        one = await visit(way)
        await one.ask(way.request(SMALL))
        first.append(time.perf_counter() - began)
        one.leave()
    one = await visit(way)
    for _ in range(QUICK_REQUESTS if quick else REQUESTS):
        began = time.perf_counter()
        await one.ask(way.request(SMALL))
        more.append(time.perf_counter() - began)
    began, size = time.perf_counter(), 0
    for _ in range(QUICK_PAGES if quick else PAGES):
        size += await one.ask(way.request(LARGE))
    seconds = time.perf_counter() - began
    one.leave()
    return {
        "first_answer_p50_ms": 1e3 * statistics.median(first),
        "next_answer_p50_ms": 1e3 * statistics.median(more),
        "large_MB_per_s": size / seconds / 1e6,
    }


async def measure_idle(way: Way, keeper: Child, node: Child, *, quick: bool) -> dict[str, float]:
    """Memory that visitors cost who stay after one answer."""
    count = QUICK_IDLE if quick else IDLE
    before = keeper.memory_bytes(), node.memory_bytes()
    visits = []
    for _ in range(count):
        visits.append(await visit(way))
        await visits[-1].ask(way.request(SMALL))
    after = keeper.memory_bytes(), node.memory_bytes()
    for each in visits:
        each.leave()
    kept, held = ((late - early) / count / 1024 for early, late in zip(before, after, strict=True))
    return {"visitors": count, "keeper_KiB_each": kept, "node_KiB_each": held}


def start_pair(processes: Stage) -> tuple[Child, Child, Way, Way]:
    """A keeper and a node behind it; the direct way and the one through the door."""
    door = ("--door", "127.0.0.1:0", "--door-domain", DOMAIN)
    keeper = processes.node("--engine", "none", *door, core=None)
    node = processes.node(
        *("--engine", "none", "--access", "open", "--public-name", "bench"),
        *("--public-door", keeper.hello["node_id"]),
        *("--join", f"{keeper.hello['node_id']}@{keeper.hello['mesh']}"),
        core=None,
    )
    direct, public = urlsplit(node.hello["http"]), urlsplit(wait_for_name(node))
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return (
        keeper,
        node,
        Way(f"{direct.hostname}:{direct.port}", direct.port or 0, None),
        Way(public.hostname or "", public.port or 443, context),
    )


def wait_for_name(node: Child) -> str:
    """The node's public URL."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with urllib.request.urlopen(f"{node.hello['http']}/api/node") as answer:
            held = json.load(answer)["doors"]["held"]
        if held["url"]:
            return str(held["url"])
        time.sleep(0.05)
    raise RuntimeError(f"no name within {PATIENCE} s: {held['reason']}")


def run(*, quick: bool = False) -> dict[str, Any]:
    """All figures."""
    with stage() as processes:
        keeper, node, direct, door = start_pair(processes)
        return {
            "direct": asyncio.run(measure_way(direct, quick=quick)),
            "door": asyncio.run(measure_way(door, quick=quick)),
            "idle": asyncio.run(measure_idle(door, keeper, node, quick=quick)),
        }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    print(json.dumps(run(quick=parser.parse_args().quick), indent=1))
