"""Slow connections by the thousand: each sends a byte now and then and comes back when closed.

A process of its own, so that what it costs is not taken for what the node costs. Commands come as
lines on standard input, answers go as JSON lines to standard output.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field

KINDS = ("mesh handshake", "mesh silent", "http headers", "http body", "http silent")
EVERY = 0.5
"""Seconds between two bytes."""
PAUSE = 0.5
"""Seconds until a closed connection comes back."""
CLIENT_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"y" * 8000
BODY = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"
)


@dataclass
class Toll:
    """What became of one kind."""

    opened: int = 0
    failed: int = 0
    lives: list[float] = field(default_factory=list)
    """Seconds from connected to closed by the other end."""


class Trickle:
    """Keeps so many connections of each kind going until it is cancelled."""

    def __init__(self, mesh: tuple[str, int], http: tuple[str, int]) -> None:
        self._places = {"mesh": mesh, "http": http}
        self.tolls: defaultdict[str, Toll] = defaultdict(Toll)
        self.open: dict[int, float] = {}
        """When each that is open now was connected, by number."""

    async def run(self, total: int) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(total):
                group.create_task(self._haunt(number, KINDS[number % len(KINDS)]))
                if number % 50 == 49:
                    await asyncio.sleep(0.02)  # the backlog is not what is tested

    def oldest(self) -> float:
        """Seconds that the longest of the open ones has been let live."""
        now = time.monotonic()
        return max((now - since for since in self.open.values()), default=0.0)

    async def _haunt(self, number: int, kind: str) -> None:
        toll = self.tolls[kind]
        while True:
            try:
                reader, writer = await asyncio.open_connection(*self._places[kind.split()[0]])
            except OSError:
                toll.failed += 1
                await asyncio.sleep(PAUSE)
                continue
            toll.opened += 1
            began = self.open[number] = time.monotonic()
            try:
                await _until_closed(kind, reader, writer)
                toll.lives.append(time.monotonic() - began)
            finally:
                del self.open[number]
                writer.transport.abort()
            await asyncio.sleep(PAUSE)


async def _until_closed(
    kind: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    words = {"mesh handshake": CLIENT_HELLO, "http headers": HEAD, "http body": BODY + b" " * 9000}
    data = words.get(kind, b"")
    sent = len(BODY) if kind == "http body" else min(1, len(data))
    writer.write(data[:sent])
    while True:
        try:
            async with asyncio.timeout(EVERY):
                if not await reader.read(65536):
                    return
        except TimeoutError:
            writer.write(data[sent : sent + 1])
            sent += 1
        except OSError:
            return


def report(trickle: Trickle) -> dict[str, object]:
    kinds = {
        kind: {
            "opened": toll.opened,
            "failed": toll.failed,
            "closed": len(toll.lives),
            "longest_s": max(toll.lives, default=0.0),
        }
        for kind, toll in trickle.tolls.items()
    }
    return {"open": len(trickle.open), "oldest_s": trickle.oldest(), "kinds": kinds}


async def main(total: int, mesh: str, http: str) -> None:
    def place(text: str) -> tuple[str, int]:
        host, _, port = text.rpartition(":")
        return host, int(port)

    trickle = Trickle(place(mesh), place(http))
    print(json.dumps({"ready": True}), flush=True)
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        haunting = group.create_task(trickle.run(total))
        while (await loop.run_in_executor(None, sys.stdin.readline)).strip() == "report":
            print(json.dumps(report(trickle)), flush=True)
        haunting.cancel()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
