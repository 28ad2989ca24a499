"""`electrons pause`."""

from __future__ import annotations

import argparse
import re

from mesh.errors import ConfigError
from node.cli.client import add_client_flags, find_node
from node.cli.exit_code import ExitCode
from node.cli.status import availability_text
from node.cli.terminal import say, say_json

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd])")
EXAMPLES = """\
examples:
  electrons pause
  electrons pause --for 2h"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.epilog = EXAMPLES
    parser.add_argument(
        "--for", dest="span", metavar="TIME", help="resume by itself after 90s, 30m, 2h or 1d"
    )
    parser.add_argument("--json", action="store_true", help="print the API's answer")
    add_client_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Have the node take no jobs; accepted ones are finished. Holds over a restart."""
    body = {} if args.span is None else {"seconds": parse_span(args.span)}
    answer = find_node(args).send("POST", "/api/node/pause", body)
    if args.json:
        say_json(answer)
    else:
        say(f"takes jobs: {availability_text(answer)}; what runs is finished")
    return ExitCode.OK


def parse_span(text: str) -> float:
    """Seconds. Raises ConfigError."""
    match = _SPAN.fullmatch(text.strip().lower())
    if match is None or not float(match[1]):
        raise ConfigError("--for", text, "give a time such as 90s, 30m, 2h or 1d")
    return float(match[1]) * UNITS[match[2]]
