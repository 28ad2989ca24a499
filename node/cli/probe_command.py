"""`electrons probe`."""

from __future__ import annotations

import argparse
import asyncio

from node.cli.exit_code import ExitCode
from node.cli.probe import render_table, to_json
from node.cli.terminal import say, say_json
from node.config_sources import find_data_dir
from node.hardware.probe import probe_hardware


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.epilog = "examples:\n  electrons probe\n  electrons probe --json"
    parser.add_argument("--data-dir", metavar="DIR", help="show the disk this folder is on")
    parser.add_argument("--json", action="store_true", help="print one JSON object, sizes in bytes")


def run(args: argparse.Namespace) -> int:
    """Look at the hardware and print what was found."""
    hardware = asyncio.run(probe_hardware(find_data_dir(args.data_dir)))
    if args.json:
        say_json(to_json(hardware))
    else:
        say(render_table(hardware))
    return ExitCode.OK
