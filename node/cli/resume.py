"""`electrons resume`."""

from __future__ import annotations

import argparse

from node.cli.client import add_client_flags, find_node
from node.cli.exit_code import ExitCode
from node.cli.status import availability_text
from node.cli.terminal import say, say_json


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.epilog = "examples:\n  electrons resume"
    parser.add_argument("--json", action="store_true", help="print the API's answer")
    add_client_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Take back a pause. Hours, battery and graphics card may still keep the node from jobs."""
    answer = find_node(args).send("POST", "/api/node/resume", {})
    if args.json:
        say_json(answer)
    else:
        say(f"takes jobs: {availability_text(answer)}")
    return ExitCode.OK
