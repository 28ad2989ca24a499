"""Processes that write until they are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Round = Callable[[Path, int], list[list[int]]]


class Writers:
    """A process that forks a writer a round, which is killed after some acknowledgements."""

    def __init__(self, script: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
        self._process = subprocess.Popen(
            [sys.executable, str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def run_and_kill(self, folder: Path, patience: int) -> list[list[int]]:
        """Everything that the writer acknowledged, its last words included."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{folder}\n")
        self._process.stdin.flush()
        pid = int(self._line().removeprefix("pid "))
        acknowledged = [self._numbers(self._line()) for _ in range(patience)]
        os.kill(pid, signal.SIGKILL)
        while (line := self._line()) != "gone\n":
            acknowledged.append(self._numbers(line))
        return acknowledged

    def close(self) -> None:
        """No more lines: it ends by itself."""
        self._process.communicate(timeout=10)

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    @staticmethod
    def _numbers(line: str) -> list[int]:
        assert line.startswith("ack "), f"the writer died: {line!r}"
        return [int(word) for word in line.split()[1:]]


@pytest.fixture
def writers(request: pytest.FixtureRequest) -> Iterator[Writers]:
    """Of the script that the test's module names as WRITER."""
    started = Writers(request.module.WRITER)
    yield started
    started.close()
