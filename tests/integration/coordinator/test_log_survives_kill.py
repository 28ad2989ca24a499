"""A process that writes the log is killed a hundred times; nothing acknowledged is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import IO

import pytest

from coordinator.consensus.entry import Stored
from coordinator.storage.folder import DiskFolder
from coordinator.storage.segments import SegmentedLog
from tests.integration.coordinator.log_writer import command

ROUNDS = 100
WRITER = Path(__file__).with_name("log_writer.py")


@pytest.fixture
def writer() -> Iterator[subprocess.Popen[str]]:
    """The process that forks writers."""
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen(
        [sys.executable, str(WRITER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def run_and_kill(writer: subprocess.Popen[str], folder: Path, patience: int) -> list[list[int]]:
    """Let a writer go on, kill it after some acknowledgements; all that it acknowledged."""
    assert writer.stdin is not None and writer.stdout is not None
    writer.stdin.write(f"{folder}\n")
    writer.stdin.flush()
    pid = int(writer.stdout.readline().removeprefix("pid "))
    acknowledged = [_read_ack(writer.stdout) for _ in range(patience)]
    os.kill(pid, signal.SIGKILL)
    while (line := writer.stdout.readline()) != "gone\n":
        assert line.startswith("ack "), line
        acknowledged.append([int(word) for word in line.split()[1:]])
    return acknowledged


def _read_ack(lines: IO[str]) -> list[int]:
    line = lines.readline()
    assert line.startswith("ack "), f"the writer died: {line!r}"
    return [int(word) for word in line.split()[1:]]


def check(stored: Stored, acknowledged: list[list[int]]) -> None:
    """Everything acknowledged is in the log, or compacted, and what is there is right."""
    held = {entry.index: entry for entry in stored.entries}
    for index, term in acknowledged:
        assert stored.hard.term >= term
        assert index <= stored.mark.index or held[index].term == term
    assert all(entry.data == command(entry.index, entry.term) for entry in stored.entries)


def test_nothing_acknowledged_is_lost(writer: subprocess.Popen[str], tmp_path: Path) -> None:
    rng = Random(1)
    total = 0
    for _ in range(ROUNDS):
        acknowledged = run_and_kill(writer, tmp_path / "log", rng.randint(0, 40))
        log = SegmentedLog(DiskFolder(tmp_path / "log"))
        check(log.load(), acknowledged)
        log.close()
        total += len(acknowledged)
    assert total > ROUNDS
