"""`electrons revoke`."""

from __future__ import annotations

import argparse

from node.cli.client import add_client_flags, find_node
from node.cli.exit_code import ExitCode
from node.cli.terminal import say, say_json

DECIDE_PATIENCE = 30.0
"""Seconds: the coordinators may be electing a leader."""
EXAMPLES = """\
examples:
  electrons revoke 4f0c...e1 --reason "stolen laptop"

The node is cut off everywhere within seconds; what it was doing is done by others. Tickets that it
wrote are taken back. It stays out: a machine that is to come back joins with a new data folder."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.epilog = EXAMPLES
    parser.add_argument("node", metavar="NODE", help="the node's id, 40 hex digits")
    parser.add_argument("--reason", default="", help="kept in the trail")
    parser.add_argument("--json", action="store_true", help="print the API's answer")
    add_client_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Throw a node out of the mesh."""
    body = {"node_id": args.node, "reason": args.reason}
    answer, _ = find_node(args).post("/api/revocations", body, timeout=DECIDE_PATIENCE)
    if args.json:
        say_json(answer)
    else:
        say(f"node {answer['node_id']} is revoked")
    return ExitCode.OK
