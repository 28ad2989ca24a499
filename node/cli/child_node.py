"""A node as a child process of a command: started, read from, killed, and never left behind."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mesh.errors import ElectronsError
from node.environment import environment

ROOT = Path(__file__).parents[2]
READY_SECONDS = 15.0
"""Until the ready line; a slow machine takes a few seconds."""
STOP_SECONDS = 6.0
"""From SIGTERM until the process is killed; a node takes 5 s at most."""
LOG_TAIL = 5
"""Lines of its log that are shown when it does not start."""


class ChildNode:
    """One `electrons up --json` whose standard input is its leash."""

    def __init__(self, name: str, folder: Path, flags: Sequence[str]) -> None:
        self.name = name
        self._begun = time.monotonic()
        self._log = folder / f"{name}.log"
        command = [sys.executable, "-m", "node.cli.leash", "up", "--json", *flags]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--data-dir", str(folder / name)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=folder,
                env=_clean_environment(),
                # Ctrl-C in the terminal is for the command, which then stops its nodes in order.
                start_new_session=True,
            )
        self._lines: list[bytes] = []
        self._reader = threading.Thread(
            target=self._read, name=f"ready line of {name}", daemon=True
        )
        self._reader.start()
        self.ready: dict[str, Any] = {}
        self.ready_seconds = 0.0

    def wait_ready(self) -> None:
        """Wait for the ready line. Raises ElectronsError with the end of the log."""
        self._reader.join(READY_SECONDS)
        try:
            self.ready = json.loads(self._lines[0])
        except (IndexError, ValueError):
            log = self._log.read_text(errors="replace").splitlines()[-LOG_TAIL:]
            reason = " / ".join(log) or "it said nothing"
            raise ElectronsError(f"node {self.name} did not start: {reason}") from None
        self.ready_seconds = time.monotonic() - self._begun

    @property
    def node_id(self) -> str:
        """Known once ready."""
        return str(self.ready.get("node_id", ""))

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def http(self) -> str:
        """URL of its API, once ready."""
        return str(self.ready["http"])

    @property
    def address(self) -> str:
        """ID@HOST:PORT, as --join takes it, once ready."""
        return f"{self.node_id}@{self.ready['mesh']}"

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.kill()
        self._process.wait()

    def terminate(self) -> None:
        """Ask it to stop; `close` waits."""
        self._process.terminate()

    def close(self) -> None:
        """Wait until it has stopped, kill it when it does not, release the pipes."""
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self._reader.join(1)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        self._lines.append(self._process.stdout.readline())


def _clean_environment() -> dict[str, str]:
    """The caller's, without its settings for a node, and with this program importable."""
    kept = {k: v for k, v in environment().items() if not k.startswith("ELECTRONS_")}
    paths = [str(ROOT), *filter(None, [kept.get("PYTHONPATH")])]
    return {**kept, "PYTHONPATH": _PATH_SEPARATOR.join(paths)}


_PATH_SEPARATOR = ";" if sys.platform == "win32" else ":"
