"""Network namespaces of one program: made, entered and configured without a helper process.

A namespace lives as long as this program holds its file, so nothing is left behind when the program
ends, however it ends. Sockets made inside stay inside: one program, one event loop, many networks.
Runs inside `unshare -Urn` (chaos.network_lab.enter); no root needed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

CLONE_NEWNET: Final = 0x40000000
"""linux/sched.h; os.setns and os.unshare are there from Python 3.12 on only."""
OWN: Final = "/proc/self/ns/net"
_libc = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """One network namespace with its loopback up. Close it when done."""

    def __init__(self) -> None:
        home = os.open(OWN, os.O_RDONLY)
        try:
            _check(_libc.unshare(CLONE_NEWNET), "unshare")
            self._file = os.open(OWN, os.O_RDONLY)
            _check(_libc.setns(home, CLONE_NEWNET), "setns")
        finally:
            os.close(home)
        self.configure("link set lo up")

    @property
    def path(self) -> str:
        """The namespace as other programs name it, while this one lives."""
        return f"/proc/{os.getpid()}/fd/{self._file}"

    @property
    def enter(self) -> tuple[str, ...]:
        """Words that put a command into the namespace."""
        return ("nsenter", f"--net={self.path}", "--")

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Be in the namespace: sockets made and programs started meanwhile belong to it.

        Holds for the calling thread only. Nothing may be awaited inside.
        """
        home = os.open(OWN, os.O_RDONLY)
        try:
            _check(_libc.setns(self._file, CLONE_NEWNET), "setns")
            try:
                yield
            finally:
                _check(_libc.setns(home, CLONE_NEWNET), "setns")
        finally:
            os.close(home)

    def configure(self, *commands: str) -> None:
        """Commands of `ip`, one after the other. Raises RuntimeError with what it said."""
        self.run("ip", "-batch", "-", given="".join(f"{command}\n" for command in commands))

    def run(self, *words: str, given: str = "") -> str:
        """Run a short command inside; its output. Raises RuntimeError when it fails."""
        with self.inside():
            done = subprocess.run(words, input=given, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)} <<< {given!r}: {done.stderr.strip()}")
        return done.stdout

    def forward(self) -> None:
        """Make it a router of IPv4."""
        with self.inside():
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1", encoding="ascii")

    def close(self) -> None:
        """Let go of it; it ends with the last process inside."""
        os.close(self._file)


def _check(status: int, call: str) -> None:
    if status:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
