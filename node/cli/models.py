"""`electrons models`."""

from __future__ import annotations

import argparse
from typing import Any

from node.cli.client import add_client_flags, find_node
from node.cli.exit_code import ExitCode
from node.cli.terminal import render_rows, say, say_json

HEAD = ("MODEL", "NODES", "ENGINE", "CONTEXT", "DESCRIPTION")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.epilog = "examples:\n  electrons models\n  electrons models --json"
    parser.add_argument("--json", action="store_true", help="print the API's answer")
    add_client_flags(parser)


def run(args: argparse.Namespace) -> int:
    """List the models that the mesh serves now."""
    answer = find_node(args).get("/api/models")
    if args.json:
        say_json(answer)
        return ExitCode.OK
    models = answer.get("models", [])
    say(render_rows([_row(model) for model in models], head=HEAD) if models else "no model served")
    return ExitCode.OK


def _row(model: dict[str, Any]) -> tuple[object, ...]:
    engines = {str(provider.get("engine", "")) for provider in model.get("providers", ())}
    return (
        model.get("id", ""),
        model.get("nodes", 0),
        ",".join(sorted(engines - {""})) or "-",
        model.get("context") or "-",
        model.get("description", ""),
    )
