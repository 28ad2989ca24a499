"""`electrons invites`."""

from __future__ import annotations

import argparse
from typing import Any
from urllib.parse import quote

from mesh.errors import ConfigError
from node.cli.client import add_client_flags, find_node
from node.cli.exit_code import ExitCode
from node.cli.terminal import render_rows, say, say_json

HEAD = ("ID", "ROLES", "USED", "EXPIRES", "BY", "NOTE")
EXAMPLES = """\
examples:
  electrons invites
  electrons invites remove 5f0c31aa90b2d4e1"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.epilog = EXAMPLES
    parser.add_argument("--json", action="store_true", help="print the API's answer")
    parser.add_argument("action", nargs="?", choices=("list", "remove"), default="list")
    parser.add_argument("id", nargs="?", help="for remove: the ticket's id, or its start")
    add_client_flags(parser)


def run(args: argparse.Namespace) -> int:
    """List tickets, or take one back."""
    if args.action == "remove":
        return _remove(args)
    answer = find_node(args).get("/api/invites")
    if args.json:
        say_json(answer)
        return ExitCode.OK
    rows = [_row(invite) for invite in answer.get("invites", [])]
    say(render_rows(rows, head=HEAD) if rows else "no ticket is open")
    return ExitCode.OK


def _remove(args: argparse.Namespace) -> int:
    if args.id is None:
        raise ConfigError("ID", "", "say which ticket to take back: 'electrons invites' lists them")
    answer = find_node(args).send("DELETE", f"/api/invites/{quote(args.id, safe='')}", None)
    if args.json:
        say_json(answer)
    else:
        say("taken back; who used it stays a member: see 'electrons members'")
    return ExitCode.OK


def _row(invite: dict[str, Any]) -> tuple[object, ...]:
    return (
        invite.get("id", ""),
        ",".join(invite.get("roles", [])),
        f"{invite.get('used')}/{invite.get('uses')}",
        invite.get("expires", ""),
        str(invite.get("invited_by", ""))[:8],
        invite.get("note", ""),
    )
