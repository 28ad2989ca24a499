"""`electrons stop`."""

from __future__ import annotations

import argparse
import os
import signal
import time
from pathlib import Path

from mesh.errors import ElectronsError
from mesh.storage.lock import holder, is_locked
from mesh.storage.run_file import read_run_file
from node.cli.exit_code import ExitCode
from node.cli.no_daemon import NoDaemon
from node.cli.terminal import say, say_json
from node.config_sources import find_data_dir

PAUSE = 0.02
"""Seconds between two looks at the lock."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.epilog = (
        "examples:\n  electrons stop\n  electrons stop --data-dir /srv/node-b --timeout 30"
    )
    parser.add_argument("--data-dir", metavar="DIR", help="data folder of the node to stop")
    parser.add_argument(
        "--timeout", type=float, default=10.0, metavar="SECONDS", help="wait so long (default: 10)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Ask the node to drain and stop, and wait until it is gone."""
    folder = find_data_dir(args.data_dir)
    begun = time.monotonic()
    pid = find_process(folder)
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        pass  # it ended in this very moment
    except PermissionError:
        raise ElectronsError(
            f"process {pid} belongs to another user: stop it as that one"
        ) from None
    while is_locked(folder):
        if time.monotonic() - begun > args.timeout:
            raise ElectronsError(
                f"process {pid} still runs after {args.timeout:g} s: its log says why; "
                f"'kill -9 {pid}' ends it at once"
            )
        time.sleep(PAUSE)
    seconds = round(time.monotonic() - begun, 2)
    if args.json:
        say_json({"stopped": pid, "seconds": seconds})
    else:
        say(f"stopped process {pid} after {seconds:g} s")
    return ExitCode.OK


def find_process(folder: Path) -> int:
    """The pid of the daemon that holds the folder. Raises NoDaemon, or ElectronsError in doubt."""
    if not is_locked(folder):
        raise NoDaemon(f"no node runs in {folder}")
    pid = holder(folder)
    info = read_run_file(folder)
    if pid is None or (info is not None and info.pid != pid):
        raise ElectronsError(
            f"{folder} is in use, but not by a process that can be told from here (another "
            "container, another user?): stop it where it was started"
        )
    return pid
