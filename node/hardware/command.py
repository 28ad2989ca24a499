"""Output of the operating system's own tools."""

from __future__ import annotations

import subprocess

PATIENCE = 10.0
"""Seconds before a command is killed; the probe that waits for it is given up earlier."""


def capture(*command: str) -> str:
    """Standard output of a command that must succeed.

    Raises OSError when it cannot run and subprocess.SubprocessError when it fails or hangs.
    """
    done = subprocess.run(command, capture_output=True, check=True, timeout=PATIENCE)
    return done.stdout.decode("utf-8", "replace").strip()
