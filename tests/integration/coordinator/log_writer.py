"""Writes a log and says what was acknowledged, until it is killed.

Reads folder names, one a line. For each it forks a process that goes on with the log there and
prints `pid N`, then `ack INDEX TERM` for every save that returned.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from coordinator.consensus.entry import Entry, HardState, SnapshotMark
from coordinator.storage.log_store import DurableLog

SEGMENT_BYTES = 20_000
OUTSTANDING = 4


def command(index: int, term: int) -> bytes:
    """What entry `index` of `term` holds: 0 to 2 KiB."""
    return f"{index}:{term};".encode() * (index * 7919 % 200)


async def write(path: Path) -> None:
    """Save forever; compact now and then."""
    log = DurableLog.at(path)
    stored = log.load()
    term = stored.hard.term + 1
    index = stored.entries[-1].index if stored.entries else stored.mark.index
    terms = {entry.index: entry.term for entry in stored.entries}
    while True:
        terms |= dict.fromkeys(range(index + 1, index + 1 + OUTSTANDING), term)
        await asyncio.gather(*(_save(log, index + 1 + step, term) for step in range(OUTSTANDING)))
        index += OUTSTANDING
        if index % 64 == 0:
            await log.compact(SnapshotMark(index - 32, terms[index - 32]))


async def _save(log: DurableLog, index: int, term: int) -> None:
    await log.save(HardState(term), [Entry(index, term, "command", command(index, term))])
    os.write(1, f"ack {index} {term}\n".encode())  # in one piece or not at all


def main() -> None:
    """Fork a writer a line, wait for its end, ask for the next."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            print(f"pid {os.getpid()}", flush=True)
            asyncio.run(write(Path(line.strip())))
        os.waitpid(child, 0)
        print("gone", flush=True)


if __name__ == "__main__":
    main()
