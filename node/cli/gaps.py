"""`electrons gaps`."""

from __future__ import annotations

import argparse
from typing import Any

from node.cli.client import add_client_flags, find_node
from node.cli.exit_code import ExitCode
from node.cli.terminal import printable, remark, render_rows, say, say_json

HEAD = ("LEVEL", "SERVICE", "MODEL", "NODES", "WHY")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.epilog = "examples:\n  electrons gaps\n  electrons gaps --json"
    parser.add_argument("--json", action="store_true", help="print the API's answer")
    add_client_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Show which services are covered, and why others are not."""
    answer = find_node(args).get("/api/gaps")
    if args.json:
        say_json(answer)
        return ExitCode.OK
    if answer.get("note"):
        remark(printable(answer["note"]))
    rows = [row for service in answer.get("services", []) for row in _rows(service)]
    say(render_rows(rows, head=HEAD) if rows else "no service is asked for")
    return ExitCode.OK


def _rows(service: dict[str, Any]) -> list[tuple[object, ...]]:
    """One line, and one more for each further reason."""
    unknown = service.get("level") == "unknown"
    count = len(service.get("providers", ()))
    nodes = str(count) if unknown else f"{count} of {service.get('wanted', 0)}"
    first, *more = service.get("reasons") or [""]
    head = (
        service.get("level", ""),
        service.get("service") or "-",
        service.get("model", ""),
        nodes,
        first,
    )
    return [head, *(("", "", "", "", reason) for reason in more)]
