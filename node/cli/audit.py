"""`electrons audit`."""

from __future__ import annotations

import argparse
from typing import Any

from mesh.errors import ConfigError
from node.cli.client import add_client_flags, find_node
from node.cli.exit_code import ExitCode
from node.cli.terminal import render_rows, say, say_json

MAX_ROWS = 500
HEAD = ("NO", "AT", "WHAT", "NODE OR TICKET", "BY", "DETAIL")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.epilog = "examples:\n  electrons audit\n  electrons audit --after 120 --json"
    parser.add_argument("--after", type=int, default=0, metavar="NO", help="only later rows")
    parser.add_argument("--limit", type=int, default=50, metavar="N", help="rows; default 50")
    parser.add_argument("--json", action="store_true", help="print the API's answer")
    add_client_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Show who changed what about the mesh's members, the latest last."""
    if not 1 <= args.limit <= MAX_ROWS:
        raise ConfigError("--limit", args.limit, f"give 1 to {MAX_ROWS}")
    if args.after < 0:
        raise ConfigError("--after", args.after, "give a row's number")
    answer = find_node(args).get(f"/api/audit?after={args.after}&limit={args.limit}")
    if args.json:
        say_json(answer)
        return ExitCode.OK
    rows = [_row(row) for row in reversed(answer.get("rows", []))]
    say(render_rows(rows, head=HEAD) if rows else "nothing has happened yet")
    return ExitCode.OK


def _row(row: dict[str, Any]) -> tuple[object, ...]:
    return (
        row.get("number", ""),
        row.get("at", ""),
        row.get("what", ""),
        str(row.get("subject", ""))[:40],
        str(row.get("by", ""))[:8],
        row.get("detail", ""),
    )
