"""`electrons why`."""

from __future__ import annotations

import argparse
from typing import Any
from urllib.parse import quote

from node.cli.client import add_client_flags, find_node
from node.cli.exit_code import ExitCode
from node.cli.terminal import printable, render_rows, say, say_json

HEAD = ("NODE", "PREDICTED", "QUEUE", "WAY", "LOADING", "WORK", "SAVED", "JOBS")
_COLUMNS = ("predicted_ms", "queue_ms", "way_ms", "loading_ms", "run_ms", "saved_ms")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.epilog = (
        "The id is in the x-request-id header of every answer. Ask the node that gave it.\n\n"
        "examples:\n  electrons why 5f0c...\n  electrons why my-own-id --json"
    )
    parser.add_argument("request_id", metavar="REQUEST-ID", help="id of the request")
    parser.add_argument("--json", action="store_true", help="print the API's answer")
    add_client_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Tell what happened to one request, and why."""
    path = f"/api/requests/{quote(args.request_id, safe='')}/why"
    answer = find_node(args).get(path)
    if args.json:
        say_json(answer)
        return ExitCode.OK
    say(printable(answer.get("summary", "")))
    for step in answer.get("steps", []):
        say(f"  {step.get('at_ms', 0.0) / 1000:8.3f} s  {printable(step.get('says', ''))}")
    candidates = _last_candidates(answer)
    if candidates:
        say("\nthe last choice, in seconds predicted:")
        say(render_rows([_row(each) for each in candidates], head=HEAD))
    return ExitCode.OK


def _last_candidates(answer: dict[str, Any]) -> list[dict[str, Any]]:
    decided = [step for step in answer.get("steps", []) if step.get("candidates")]
    found: list[dict[str, Any]] = decided[-1]["candidates"] if decided else []
    return found


def _row(candidate: dict[str, Any]) -> tuple[object, ...]:
    times = (f"{candidate.get(column, 0.0) / 1000:.3f}" for column in _COLUMNS)
    jobs = f"{candidate.get('jobs', 0)}/{candidate.get('slots', 0)}"
    return (candidate.get("node", ""), *times, jobs)
