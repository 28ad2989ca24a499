"""`electrons coordinators`."""

from __future__ import annotations

import argparse
from typing import Any

from node.cli.client import add_client_flags, find_node
from node.cli.exit_code import ExitCode
from node.cli.terminal import printable, remark, render_rows, say, say_json

HEAD = ("NODE", "PART", "", "BEHIND", "")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.epilog = "examples:\n  electrons coordinators\n  electrons coordinators --json"
    parser.add_argument("--json", action="store_true", help="print the API's answer")
    add_client_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Show who leads, who votes and who lags."""
    answer = find_node(args).get("/api/coordinators")
    if args.json:
        say_json(answer)
        return ExitCode.OK
    if answer.get("note"):
        remark(printable(answer["note"]))
    if answer.get("group"):
        say(_headline(answer))
        say(render_rows([_row(member) for member in answer["members"]], head=HEAD))
    return ExitCode.OK


def _headline(answer: dict[str, Any]) -> str:
    leader = answer.get("leader")
    led = f"led by {leader}" if leader else "without a leader"
    return (
        f"{led}, term {answer['term']}, {answer['applied']} of {answer['commit']} entries applied"
    )


def _row(member: dict[str, Any]) -> tuple[object, ...]:
    lag = member.get("lag")
    return (
        member.get("node_id", ""),
        member.get("part", ""),
        "leads" if member.get("leads") else "",
        "-" if lag is None else str(lag),
        "silent" if member.get("silent") else "",
    )
