"""Applies commands to a state and says what was committed, until it is killed.

Reads `FOLDER`, one a line. For each it forks a process that prints `pid N`, then `ack INDEX` for
everything that was applied; now and then it takes a snapshot or installs its latest.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from coordinator.consensus.entry import Entry
from coordinator.state.state import SqliteState
from mesh.wire.commands import Command, SetSetting, encode_command

KEYS = 50


def entry(index: int) -> Entry:
    """What the log holds there."""
    change = SetSetting(f"k{index % KEYS}", str(index))
    return Entry(index, 1, "command", encode_command(Command(f"{index:032x}", 1e9, change)))


async def write(folder: Path) -> None:
    """Apply forever."""
    state = SqliteState(folder)
    while True:
        await state.apply([entry(state.applied + 1 + step) for step in range(3)])
        os.write(1, f"ack {state.applied}\n".encode())  # in one piece or not at all
        if state.applied % 7 == 0:
            snapshot = await state.snapshot()
            await state.install(snapshot.path, snapshot.sha256)


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
