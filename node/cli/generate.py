"""`electrons generate`."""

from __future__ import annotations

import argparse
import sys

from mesh.errors import ConfigError
from node.cli.ask import (
    add_sampling_flags,
    request_body,
    served_by,
    show_text,
    show_waiting,
    stream_answer,
)
from node.cli.client import add_client_flags, find_node
from node.cli.exit_code import ExitCode
from node.cli.terminal import printable, remark, say, say_json

MAX_PROMPT = 4 << 20
"""Characters read from standard input; the gateway takes no more either."""

EXAMPLES = """\
examples:
  electrons generate "Write a story about a fox."
  electrons generate --model qwen3:8b --temperature 0 --max-tokens 200 "Why is the sky blue?"
  cat report.txt | electrons generate --system "Sum this up." -

The answer goes to standard output; which node served it, to standard error."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare arguments and flags."""
    parser.epilog = EXAMPLES
    parser.add_argument("prompt", help="what to ask; - reads it from standard input")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    add_sampling_flags(parser)
    add_client_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Ask, and write the answer as it comes."""
    prompt = sys.stdin.read(MAX_PROMPT) if args.prompt == "-" else args.prompt
    if not prompt.strip():
        raise ConfigError("prompt", prompt, "give some text")
    body = request_body(args, [{"role": "user", "content": prompt}])
    api = find_node(args)
    if args.json:
        answer = stream_answer(api, body, show=lambda text: None)
        say_json(
            {
                "text": answer.text,
                "node": answer.node,
                "model": args.model,
                "finish_reason": answer.reason,
                "usage": {
                    "prompt_tokens": answer.prompt_tokens,
                    "completion_tokens": answer.completion_tokens,
                },
                "first_text_ms": _milliseconds(answer.first_seconds),
                "total_ms": _milliseconds(answer.seconds),
            }
        )
        return ExitCode.OK
    answer = stream_answer(api, body, show=show_text, waiting=show_waiting)
    say("" if answer.text.endswith("\n") else "\n", end="")
    remark(printable(served_by(answer)))
    return ExitCode.OK


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)
