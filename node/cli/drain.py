"""`electrons drain`."""

from __future__ import annotations

import argparse
import time

from mesh.errors import ElectronsError
from node.cli.client import add_client_flags, find_node
from node.cli.exit_code import ExitCode
from node.cli.terminal import say, say_json

LOOK_SECONDS = 0.1
"""Between two looks at what still runs."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.epilog = "examples:\n  electrons drain && electrons stop\n  electrons drain --timeout 60"
    parser.add_argument(
        "--timeout", type=float, default=600.0, metavar="SECONDS", help="wait so long; default 600"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_client_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Pause, and return when no job is left. The node stays up, and paused."""
    node, begun = find_node(args), time.monotonic()
    node.send("POST", "/api/node/pause", {})
    while left := int(node.get("/api/node").get("in_flight", 0)):
        if time.monotonic() - begun > args.timeout:
            raise ElectronsError(
                f"{left} jobs still run after {args.timeout:g} s; the node stays paused, and "
                "'electrons resume' takes that back"
            )
        time.sleep(LOOK_SECONDS)
    seconds = round(time.monotonic() - begun, 2)
    if args.json:
        say_json({"drained": True, "seconds": seconds})
    else:
        say(f"no job is left after {seconds:g} s; 'electrons resume' takes jobs again")
    return ExitCode.OK
