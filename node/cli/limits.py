"""`electrons limits`."""

from __future__ import annotations

import argparse

from mesh.errors import ConfigError
from node.cli.client import add_client_flags, find_node
from node.cli.exit_code import ExitCode
from node.cli.status import limits_text
from node.cli.terminal import say, say_json
from node.config_values import BadValue, parse_int, parse_size
from services.limits import MAX_SLOTS

CONFIGURED = "default"
EXAMPLES = """\
examples:
  electrons limits
  electrons limits --slots 1 --memory 4GiB
  electrons limits --gpu-memory 8GiB
  electrons limits --slots default"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.epilog = EXAMPLES
    group = parser.add_argument_group(f"limits; '{CONFIGURED}' goes back to the configured one")
    group.add_argument("--slots", metavar="N", help="jobs at the same time")
    group.add_argument("--memory", metavar="SIZE", help="main memory of the node")
    group.add_argument("--gpu-memory", metavar="SIZE", help="memory of all graphics cards together")
    parser.add_argument("--json", action="store_true", help="print the API's answer")
    add_client_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Show the limits, or change them at once. Running jobs are left alone."""
    changes = parse_changes(args.slots, args.memory, args.gpu_memory)
    node = find_node(args)
    if changes:
        answer = node.send("PUT", "/api/node/limits", changes)
    else:
        answer = node.get("/api/node/limits")
    if args.json:
        say_json(answer)
    else:
        say(limits_text(answer) or "no limits but the engines' own")
    return ExitCode.OK


def parse_changes(
    slots: str | None, memory: str | None, gpu_memory: str | None
) -> dict[str, int | None]:
    """The request's body; None for a limit that goes back to the configured one.

    Raises ConfigError.
    """
    given = {
        "slots": ("--slots", slots, parse_int(1, MAX_SLOTS)),
        "memory": ("--memory", memory, parse_size),
        "gpu_memory": ("--gpu-memory", gpu_memory, parse_size),
    }
    changes: dict[str, int | None] = {}
    for name, (flag, text, parse) in given.items():
        if text is None:
            continue
        try:
            changes[name] = None if text == CONFIGURED else parse(text)
        except BadValue as error:
            raise ConfigError(flag, error.value, f"{error.allowed}, or default") from None
    return changes
