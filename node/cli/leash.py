"""Runs `electrons` on a leash: when standard input ends, because its parent died, it stops.

`python -m node.cli.leash up --json ...`. A pipe works on every system and even when the parent is
killed; the parent holds the other end and never writes.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

from node.cli.main import main

LAST_SECONDS = 6.0
"""What the node gets to stop by itself once its parent is gone."""


def follow_parent() -> None:
    """Wait for the end of standard input, then stop this process."""
    while os.read(0, 4096):
        continue
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(LAST_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=follow_parent, name="leash", daemon=True).start()
    sys.exit(main())
