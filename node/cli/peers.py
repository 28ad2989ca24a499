"""`electrons peers`."""

from __future__ import annotations

import argparse
from typing import Any

from node.cli.client import add_client_flags, find_node
from node.cli.exit_code import ExitCode
from node.cli.terminal import render_rows, say, say_json

HEAD = ("NODE", "STATE", "ROLES", "MODELS", "RTT", "JOBS", "ADDRESS")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.epilog = "examples:\n  electrons peers\n  electrons peers --json"
    parser.add_argument("--json", action="store_true", help="print the API's answer")
    add_client_flags(parser)


def run(args: argparse.Namespace) -> int:
    """List the nodes that the asked one knows."""
    answer = find_node(args).get("/api/peers")
    if args.json:
        say_json(answer)
        return ExitCode.OK
    peers = answer.get("peers", [])
    say(render_rows([_row(peer) for peer in peers], head=HEAD) if peers else "no other node known")
    return ExitCode.OK


def _row(peer: dict[str, Any]) -> tuple[object, ...]:
    rtt = peer.get("rtt_ms")
    return (
        peer.get("node_id", ""),
        peer.get("state", ""),
        ",".join(peer.get("roles", ())),
        ",".join(peer.get("models", ())) or "-",
        "-" if rtt is None else f"{rtt:.1f} ms",
        f"{peer.get('in_flight', 0)}/{peer.get('slots', 0)}",
        next(iter(peer.get("addresses", ())), "-"),
    )
