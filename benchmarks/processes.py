"""Starting what is measured: child processes pinned to a core, with their CPU time and memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

LOAD_CORE = 0
"""Where the load generator and the fake engine run."""
TEST_CORE = 1
"""Where everything under test runs."""


class Child:
    """A running process whose first line on standard output is JSON (or a bare URL)."""

    def __init__(self, command: Sequence[str], *, core: int | None, log: Path) -> None:
        self._log = log.open("wb")
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self._log, start_new_session=True
        )
        if core is not None and len(os.sched_getaffinity(0)) > core:
            os.sched_setaffinity(self._process.pid, {core})
        assert self._process.stdout is not None
        line = self._process.stdout.readline().decode().strip()
        if not line:
            self.stop()
            raise RuntimeError(f"{' '.join(command)} did not start:\n{log.read_text()[-2000:]}")
        self.hello: dict[str, Any] = json.loads(line) if line.startswith("{") else {"url": line}
        self._ps = psutil.Process(self._process.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu_seconds(self) -> float:
        """User and system time so far, children included."""
        total = 0.0
        for process in [self._ps, *self._ps.children(recursive=True)]:
            times = process.cpu_times()
            total += times.user + times.system
        return total

    def memory_bytes(self) -> int:
        """Proportional set size with children, so that shared pages count once."""
        processes = [self._ps, *self._ps.children(recursive=True)]
        return sum(process.memory_full_info().pss for process in processes)

    def resident_bytes(self) -> int:
        """Resident set size with children."""
        processes = [self._ps, *self._ps.children(recursive=True)]
        return sum(process.memory_info().rss for process in processes)

    def kill(self) -> None:
        """As a power cut would."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Ask it to stop, then insist."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(8)
            except subprocess.TimeoutExpired:
                self.kill()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log.close()


class Stage:
    """All processes of one measurement; stopped together."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._children: list[Child] = []

    def start(self, command: Sequence[str], *, core: int | None = TEST_CORE) -> Child:
        """Start a process and wait for its first line."""
        child = Child(command, core=core, log=self.folder / f"log-{len(self._children)}.txt")
        self._children.append(child)
        return child

    def module(self, name: str, *arguments: str, core: int | None = TEST_CORE) -> Child:
        """Start one of our own modules."""
        return self.start([sys.executable, "-m", name, *arguments], core=core)

    def node(self, *arguments: str, core: int | None = TEST_CORE) -> Child:
        """Start a daemon as a user would, on free ports of loopback."""
        data = self.folder / f"node-{len(self._children)}"
        electrons = Path(sys.executable).with_name("electrons")
        fixed = ["up", "--json", "--data-dir", str(data), "--no-mdns"]
        ports = ["--http", "127.0.0.1:0", "--mesh", "127.0.0.1:0"]
        return self.start([str(electrons), *fixed, *ports, *arguments], core=core)

    def stop(self) -> None:
        for child in reversed(self._children):
            child.stop()


@contextmanager
def stage() -> Iterator[Stage]:
    """A temporary folder and the processes in it."""
    with tempfile.TemporaryDirectory(prefix="electrons-bench-") as folder:
        processes = Stage(Path(folder))
        try:
            yield processes
        finally:
            processes.stop()


@contextmanager
def pinned(core: int = LOAD_CORE) -> Iterator[None]:
    """Keep this process on one core while it generates load."""
    before = os.sched_getaffinity(0)
    if core in before:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
