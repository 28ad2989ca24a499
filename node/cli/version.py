"""`electrons version`."""

from __future__ import annotations

import argparse
import platform
import sys

from mesh.version import VERSION
from node.cli.exit_code import ExitCode
from node.cli.terminal import say, say_json


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.epilog = "examples:\n  electrons version\n  electrons version --json"
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the version of this program, and in JSON that of Python and the system too."""
    if args.json:
        python = ".".join(map(str, sys.version_info[:3]))
        say_json({"version": VERSION, "python": python, "system": platform.system()})
    else:
        say(f"electrons {VERSION}")
    return ExitCode.OK
