"""A server process of our own on a loopback port: started, watched, ended with us."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from mesh.errors import EngineUnavailable

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
TERM_PATIENCE = 2.0
"""Seconds between SIGTERM and SIGKILL."""
MAX_WORDS = 4096
"""Bytes of the process's last words that are kept."""
ROOT = Path(__file__).parents[2]
"""The folder that holds the `services` package."""


class _Output(asyncio.SubprocessProtocol):
    """Keeps the end of what the process writes, and knows when it has ended."""

    def __init__(self) -> None:
        self.words = b""
        self.ended = asyncio.Event()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.words = (self.words + data)[-MAX_WORDS:]

    def process_exited(self) -> None:
        self.ended.set()


class ChildServer:
    """At most one process at a time. `command` is followed by nothing; it is told its port by
    `{port}` in an argument. Its environment is ours and `extra_environment`."""

    def __init__(self, command: Sequence[str], extra_environment: Mapping[str, str]) -> None:
        self._command = tuple(command)
        self._extra = dict(extra_environment)
        self._transport: asyncio.SubprocessTransport | None = None
        self._output: _Output | None = None

    @property
    def running(self) -> bool:
        """True between start and end of the process."""
        return self._output is not None and not self._output.ended.is_set()

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""
        return self._transport.get_pid() if self.running and self._transport else None

    @property
    def last_words(self) -> str:
        """The last line the process wrote; "" when it wrote none."""
        words = self._output.words.decode("utf-8", "replace") if self._output else ""
        lines = [line.strip() for line in words.splitlines() if line.strip()]
        return lines[-1][:200] if lines else ""

    async def start(self) -> int:
        """Start the process on a free port; the port. Raises EngineUnavailable."""
        await self.close()
        port = _free_port()
        command = [part.replace("{port}", str(port)) for part in self._command]
        tether = (sys.executable, "-m", "services.engines.tether", str(os.getpid()))
        path = os.pathsep.join((str(ROOT), *(entry for entry in sys.path if entry)))
        try:
            self._transport, self._output = await asyncio.get_running_loop().subprocess_exec(
                _Output,
                *tether,
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path, **self._extra},
            )
        except OSError as error:
            raise EngineUnavailable(f"{command[0]} cannot be started: {error}") from error
        return port

    async def close(self) -> None:
        """End the process: SIGTERM, then SIGKILL. Safe to call twice."""
        transport, output = self._transport, self._output
        if transport is None or output is None:
            return
        self._transport = None
        try:
            if not output.ended.is_set():
                transport.terminate()
                await _ended_within(output, TERM_PATIENCE)
        finally:
            if not output.ended.is_set():
                transport.kill()
            transport.close()


async def _ended_within(output: _Output, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await output.ended.wait()
    except TimeoutError:
        log.warning("a child server ignored SIGTERM")


def _free_port() -> int:
    """A port that was free a moment ago; if somebody takes it first, the server ends and the next
    start draws another."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
