"""`electrons door`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from node.cli.client import add_client_flags, find_node
from node.cli.exit_code import ExitCode
from node.cli.terminal import render_rows, say, say_json

Row = tuple[str, object]

EXAMPLES = """\
examples:
  electrons door
  electrons up --access keys --public-door auto                  a name for this node
  electrons up --access keys --public-door NODE_ID --public-name alice
  electrons up --roles relay --door 0.0.0.0:443 --door-domain mesh.example.org
                                                                 keep a door for others"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.epilog = EXAMPLES
    parser.add_argument("--json", action="store_true", help="print what the API says of doors")
    add_client_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Show under which public name this node answers, and the door it keeps for others."""
    doors = find_node(args).get("/api/node").get("doors") or {}
    if args.json:
        say_json(doors)
    else:
        rows = list(door_rows(doors))
        say(render_rows(rows) if rows else "no public door: see 'electrons door --help'")
    return ExitCode.OK


def door_rows(doors: Mapping[str, Any]) -> Iterator[Row]:
    """Label and text of every line; none for a node that has nothing to do with doors. Pure."""
    held, kept = doors.get("held"), doors.get("kept")
    if held:
        yield "public door", held["url"] or f"closed: {held['reason']}"
    if held and held["url"]:
        yield "kept by", held["keeper"]
        kind = "self-signed; browsers warn, compare this" if held["self_signed"] else "yours"
        yield "certificate", f"SHA-256 {held['fingerprint']} ({kind})"
        yield "connections", held["connections"]
    if kept:
        yield "keeps a door", f"port {kept['port']} for *.{kept['domain']}"
        yield "names", kept["names"]
        yield "passing", f"{kept['connections']} connections, {kept['waiting']} waiting"
