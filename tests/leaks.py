"""What a test may not leave behind: running tasks, threads and child processes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Set
from pathlib import Path

import psutil

PATIENCE = 2.0
"""Seconds that ending things get to be gone: they were told to end before the test returned."""
POLL = 0.02


async def leaked_tasks(before: Set[asyncio.Task[object]]) -> list[str]:
    """Tasks of the running loop that were not there before and do not end by themselves."""
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    if left:
        _, left = await asyncio.wait(left, timeout=PATIENCE)
    return [f"task {task.get_name()}: {task.get_coro()!r}" for task in left]


def leaked_threads(before: Set[threading.Thread]) -> list[str]:
    """Threads that were not there before and do not end by themselves."""
    deadline = time.monotonic() + PATIENCE
    left = set(threading.enumerate()) - before
    for thread in left:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [f"thread {thread.name}" for thread in left if thread.is_alive()]


def leaked_children(before: Set[int]) -> list[str]:
    """Child processes that were not there before and do not end by themselves."""
    left = [child for pid in child_ids() - before if (child := _process(pid)) is not None]
    if left:
        _, left = psutil.wait_procs(left, timeout=PATIENCE)
    return [f"process {child.pid}: {_command_line(child)}" for child in left]


def child_ids() -> frozenset[int]:
    """The pids of this process's children."""
    lists = list(Path("/proc/self/task").glob("*/children"))
    if not lists:  # not Linux, or a kernel without these files: a hundred times slower
        return frozenset(child.pid for child in psutil.Process().children())
    return frozenset(int(pid) for path in lists for pid in _read(path).split())


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""  # the thread has just ended


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())[:200]
    except psutil.Error:
        return "?"
