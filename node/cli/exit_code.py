"""What a command's exit status says."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Documented in docs/cli.md; scripts depend on the numbers."""

    OK = 0
    FAILED = 1
    USAGE = 2
    """A wrong flag, argument or setting. argparse uses the same number."""
    NO_DAEMON = 3
    """The command needs a running node and found none."""
    JOB_FAILED = 4
    """The node answered, and refused or failed the job."""
    NOT_ADMITTED = 5
    """The mesh refused the ticket: unknown, used up, expired, or the node was revoked."""
    INTERRUPTED = 130
    """Ctrl-C: 128 + SIGINT, as shells count it."""
