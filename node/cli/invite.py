"""`electrons invite`."""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any

from mesh.admission import MAX_TICKET_SECONDS
from mesh.errors import ConfigError
from mesh.identity.ticket_qr import render_qr
from mesh.wire.admission_commands import MAX_USES
from node.cli.client import add_client_flags, find_node
from node.cli.exit_code import ExitCode
from node.cli.terminal import remark, say, say_json

DECIDE_PATIENCE = 30.0
"""Seconds: the coordinators may be electing a leader."""
ROLES = ("worker", "gateway", "storage", "relay", "coordinator", "admin")
_LIFE = re.compile(r"([0-9]{1,9})([smhd]?)")
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
EXAMPLES = """\
examples:
  electrons invite                                     one worker, within 24 hours
  electrons invite --role worker --uses 20 --expires 7d --note "the lab"
  electrons invite --role coordinator
  electrons invite --json | jq -r .ticket

Whoever holds the ticket can join in that role: send it as you would send a password. It is shown
once; 'electrons invites' lists what is open, 'electrons invites remove ID' takes one back. Admins
are made with the root key: 'electrons mesh grant FOLDER NODE --role admin'."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.epilog = EXAMPLES
    parser.add_argument(
        "--role", action="append", choices=ROLES, help="what it may be; default: worker. Repeatable"
    )
    parser.add_argument("--uses", type=int, default=1, metavar="N", help="nodes; default 1")
    parser.add_argument(
        "--expires", default="24h", metavar="TIME", help="90m, 24h, 7d; default 24h"
    )
    parser.add_argument("--note", default="", help="what it is for; shown to administrators")
    parser.add_argument("--no-qr", action="store_true", help="print the line only")
    parser.add_argument("--json", action="store_true", help="print the API's answer")
    add_client_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Have a ticket written, and print it."""
    body = {
        "roles": sorted(set(args.role or ["worker"])),
        "uses": _uses(args.uses),
        "seconds": parse_life(args.expires),
        "note": args.note,
    }
    answer, _ = find_node(args).post("/api/invites", body, timeout=DECIDE_PATIENCE)
    if args.json:
        say_json(answer)
        return ExitCode.OK
    say(answer["ticket"])
    if not args.no_qr and sys.stdout.isatty():
        say(render_qr(answer["ticket"]))
    remark(_words(answer))
    return ExitCode.OK


def parse_life(text: str) -> float:
    """Seconds of "90m", "24h", "7d" or plain seconds. Raises ConfigError."""
    match = _LIFE.fullmatch(text.strip())
    seconds = int(match[1]) * _UNITS[match[2]] if match else 0.0
    if not 1 <= seconds <= MAX_TICKET_SECONDS:
        days = int(MAX_TICKET_SECONDS / _UNITS["d"])
        raise ConfigError("--expires", text, f"give 1s to {days}d: 90m, 24h, 7d")
    return seconds


def _uses(uses: int) -> int:
    if not 1 <= uses <= MAX_USES:
        raise ConfigError("--uses", uses, f"give 1 to {MAX_USES}")
    return uses


def _words(answer: dict[str, Any]) -> str:
    uses = "once" if answer["uses"] == 1 else f"{answer['uses']} times"
    given = ", ".join(answer["roles"])
    return (
        f"lets a node in as {given}, {uses}, until {answer['expires']}; its id is {answer['id']}\n"
        "on the new machine: electrons join TICKET"
    )
