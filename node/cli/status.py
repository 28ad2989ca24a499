"""`electrons status`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from node.cli.client import add_client_flags, find_node
from node.cli.exit_code import ExitCode
from node.cli.terminal import render_rows, say, say_json

Row = tuple[str, object]


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.epilog = (
        "examples:\n  electrons status\n  electrons status --json --url http://host:7717"
    )
    parser.add_argument("--json", action="store_true", help="print the API's answer")
    add_client_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Show what the node is, what it has and what it is busy with."""
    answer = find_node(args).get("/api/node")
    if args.json:
        say_json(answer)
    else:
        say(render_rows(list(status_rows(answer))))
    return ExitCode.OK


def status_rows(node: Mapping[str, Any]) -> Iterator[Row]:
    """Label and text of every line; facts the node does not tell are left out. Pure."""
    yield "node", node.get("node_id", "")
    state, reason = node.get("state", "unknown"), node.get("reason")
    yield "state", f"{state} ({reason})" if reason else state
    for label in ("version", "network", "http", "mesh"):
        if node.get(label):
            yield label, node[label]
    yield from _list_rows("roles", [", ".join(node.get("roles") or ())])
    unbuilt = node.get("unbuilt_roles")
    if unbuilt:
        yield "not built", f"{', '.join(unbuilt)}: asked for, not in this release, not advertised"
    yield from _list_rows("hardware", node.get("hardware") or ())
    yield from _list_rows("models", [_model(model) for model in node.get("models") or ()])
    yield from _list_rows("engines", [_engine(engine) for engine in node.get("engines") or ()])
    yield from _list_rows("links", [_link(link) for link in node.get("links") or ()])
    slots = f" of {node['slots']}" if node.get("slots") else ""
    queued = f", {node['queued']} queued" if node.get("queued") else ""
    yield "jobs", f"{node.get('in_flight', 0)}{slots} running{queued}"
    yield from _list_rows("notes", node.get("notes") or ())


def _list_rows(label: str, texts: Any) -> Iterator[Row]:
    """The label on the first line only."""
    for text in [texts] if isinstance(texts, str) else texts:
        if text:
            yield label, text
            label = ""


def _model(model: Any) -> str:
    if not isinstance(model, dict):
        return str(model)
    name = model.get("id") or model.get("name") or ""
    slots = f" ({model['slots']} slots)" if model.get("slots") else ""
    return f"{name}{slots}"


def _engine(engine: Any) -> str:
    if not isinstance(engine, dict):
        return str(engine)
    words = [engine.get("name", ""), engine.get("state", ""), engine.get("note", "")]
    return ": ".join(str(word) for word in words if word)


def _link(link: Any) -> str:
    if not isinstance(link, dict):
        return str(link)
    rtt = link.get("rtt_ms")
    return f"{link.get('node_id', '')}" + ("" if rtt is None else f"  {rtt:.1f} ms")
