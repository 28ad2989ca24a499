"""Daemons with a staged node, as child processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT = Path(__file__).with_name("staged_node.py")
PATIENCE = 20.0
"""Seconds for anything to happen on a busy machine."""


class Staged:
    """One child process and what it has said so far."""

    def __init__(self, folder: Path, scene: str, flags: tuple[str, ...]) -> None:
        self.folder = folder
        # The process must die of Ctrl-C by itself, not with the terminal's whole group.
        self.process = subprocess.Popen(
            [sys.executable, SCRIPT, scene, "--data-dir", folder, *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )
        self.errors: list[str] = []
        self._heard = threading.Condition()
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def first_line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def hear(self, word: str) -> None:
        """Wait until a line of standard error contains the word."""
        with self._heard:
            found = self._heard.wait_for(lambda: word in self.log, PATIENCE)
        assert found, f"never heard {word!r} in {self.log!r}"

    @property
    def log(self) -> str:
        return "".join(self.errors)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ends_with(self) -> int:
        """The exit status, once it has ended."""
        code = self.process.wait(PATIENCE)
        self._listener.join(PATIENCE)
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        self._listener.join(PATIENCE)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._heard:
                self.errors.append(line)
                self._heard.notify_all()


Stage = Callable[..., Staged]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Starts staged daemons, all in one data folder unless told otherwise; ends them at last."""
    running: list[Staged] = []

    def start(scene: str, *flags: str, folder: Path = tmp_path / "data") -> Staged:
        http = () if "--http" in flags else ("--http", "127.0.0.1:0")
        running.append(Staged(folder, scene, (*http, *flags)))
        return running[-1]

    yield start
    for staged in running:
        staged.close()


@pytest.fixture
def stopwatch() -> Callable[[], float]:
    """Seconds since the test asked for it."""
    begun = time.monotonic()
    return lambda: time.monotonic() - begun
