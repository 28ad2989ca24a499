"""Runs a command that dies with the process that started it, however that ends.

    python -m services.engines.tether PARENT_PID COMMAND [ARGUMENT ...]

Linux: prctl(2), PR_SET_PDEATHSIG, which execve(2) keeps. Elsewhere the command just runs.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent, then become the command."""
    parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
        if os.getppid() != int(parent):
            sys.exit("the parent is already gone")
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
