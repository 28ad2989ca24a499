"""`electrons services`."""

from __future__ import annotations

import argparse
from typing import Any
from urllib.parse import quote

from mesh.errors import ConfigError
from node.cli.client import add_client_flags, find_node
from node.cli.exit_code import ExitCode
from node.cli.terminal import render_rows, say, say_json
from node.config_values import BadValue, parse_size

HEAD = ("SERVICE", "MODEL", "ENGINE", "PRIORITY", "REPLICAS", "MEMORY", "GPU MEMORY")
EXAMPLES = """\
examples:
  electrons services
  electrons services set chat --model llama3.2:3b --replicas 2 --priority 0
  electrons services set code --model Qwen3-14B-Q8_0 --engine llama.cpp --gpu-memory 16GiB
  electrons services remove chat"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.epilog = EXAMPLES
    parser.add_argument("--json", action="store_true", help="print the API's answer")
    parser.add_argument("action", nargs="?", choices=("list", "set", "remove"), default="list")
    parser.add_argument("name", nargs="?", help="of the service, for set and remove")
    group = parser.add_argument_group("for set: what is not given has its default, not what it was")
    group.add_argument("--model", help="the model to serve")
    group.add_argument("--engine", help="the engine that must run it; default: any")
    group.add_argument(
        "--priority", type=int, metavar="N", help="lower is more critical; default 1"
    )
    group.add_argument("--replicas", type=int, metavar="N", help="nodes at least; default 1")
    group.add_argument("--memory", metavar="SIZE", help="main memory a copy needs at least")
    group.add_argument("--gpu-memory", metavar="SIZE", help="memory of one GPU it needs at least")
    add_client_flags(parser)


def run(args: argparse.Namespace) -> int:
    """List, declare or remove what the mesh is to keep running."""
    if args.action == "list":
        return _list(args)
    if args.name is None:
        raise ConfigError("NAME", "", f"say which service to {args.action}")
    path = f"/api/services/{quote(args.name, safe='')}"
    if args.action == "remove":
        answer = find_node(args).send("DELETE", path, None)
    else:
        answer = find_node(args).send("PUT", path, _body(args))
    if args.json:
        say_json(answer)
    else:
        say("removed" if args.action == "remove" else "declared; 'electrons gaps' shows its state")
    return ExitCode.OK


def _list(args: argparse.Namespace) -> int:
    answer = find_node(args).get("/api/services")
    if args.json:
        say_json(answer)
        return ExitCode.OK
    rows = [_row(target) for target in answer.get("services", [])]
    say(render_rows(rows, head=HEAD) if rows else "no service is declared")
    return ExitCode.OK


def _row(target: dict[str, Any]) -> tuple[object, ...]:
    return (
        target.get("name", ""),
        target.get("model", ""),
        target.get("engine") or "any",
        target.get("priority", ""),
        target.get("min_replicas", ""),
        target.get("memory") or "-",
        target.get("gpu_memory") or "-",
    )


def _body(args: argparse.Namespace) -> dict[str, Any]:
    if not args.model:
        raise ConfigError("--model", "", "say which model serves it")
    given = {
        "model": args.model,
        "engine": args.engine,
        "priority": args.priority,
        "min_replicas": args.replicas,
        "memory": _size("--memory", args.memory),
        "gpu_memory": _size("--gpu-memory", args.gpu_memory),
    }
    return {name: value for name, value in given.items() if value is not None}


def _size(flag: str, text: str | None) -> int | None:
    try:
        return None if text is None else parse_size(text)
    except BadValue as error:
        raise ConfigError(flag, error.value, error.allowed) from None
