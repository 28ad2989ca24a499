"""`electrons members`."""

from __future__ import annotations

import argparse
from typing import Any

from node.cli.client import add_client_flags, find_node
from node.cli.exit_code import ExitCode
from node.cli.terminal import render_rows, say, say_json

HEAD = ("NODE", "ROLES", "GRANT ENDS", "SINCE", "TICKET")
REVOKED_HEAD = ("REVOKED", "SINCE", "BY", "REASON")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.epilog = "examples:\n  electrons members\n  electrons members --revoked"
    parser.add_argument("--revoked", action="store_true", help="those who were revoked, instead")
    parser.add_argument("--json", action="store_true", help="print the API's answer")
    add_client_flags(parser)


def run(args: argparse.Namespace) -> int:
    """List the nodes that joined by a ticket, or that were revoked."""
    node = find_node(args)
    answer = node.get("/api/revocations" if args.revoked else "/api/members")
    if args.json:
        say_json(answer)
        return ExitCode.OK
    if args.revoked:
        rows = [_revoked(each) for each in answer.get("revocations", [])]
        say(render_rows(rows, head=REVOKED_HEAD) if rows else "no node was revoked")
        return ExitCode.OK
    rows = [_row(member) for member in answer.get("members", [])]
    say(render_rows(rows, head=HEAD) if rows else "no node has joined by a ticket")
    return ExitCode.OK


def _row(member: dict[str, Any]) -> tuple[object, ...]:
    return (
        member.get("node_id", ""),
        ",".join(member.get("roles", [])),
        member.get("grant_ends", ""),
        member.get("admitted_at", ""),
        member.get("invite", ""),
    )


def _revoked(each: dict[str, Any]) -> tuple[object, ...]:
    return (
        each.get("node_id", ""),
        each.get("revoked_at", ""),
        str(each.get("revoked_by", ""))[:8],
        each.get("reason", ""),
    )
