"""Sends one conversation to a node and writes the answer to the terminal as it comes."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from mesh.errors import JobFailed
from mesh.jobs import Privacy
from node.cli.answer_stream import Broken, Counted, Ended, Resumed, Text, Waiting, read_events
from node.cli.client import Api, ApiError
from node.cli.terminal import printable, remark, say

CHAT_PATH = "/v1/chat/completions"
Message = Mapping[str, str]


@dataclass(slots=True)
class Answer:
    """What came back of one question."""

    node: str = ""
    """Id of the node that served it."""
    text: str = ""
    resumed: int = 0
    """How often another node had to go on with it."""
    reason: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    first_seconds: float | None = None
    """From sending until the first text; None when there was none."""
    seconds: float = 0.0

    @property
    def speed(self) -> float | None:
        """Tokens a second after the first one; None when that cannot be told."""
        if self.first_seconds is None or self.completion_tokens < 2:
            return None
        spent = self.seconds - self.first_seconds
        return (self.completion_tokens - 1) / spent if spent > 0 else None


def add_sampling_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that say which model answers, and how."""
    group = parser.add_argument_group("what to ask for")
    group.add_argument("--model", default="auto", help="id from 'electrons models' (default: auto)")
    group.add_argument("--system", metavar="TEXT", help="instructions before the conversation")
    group.add_argument("--max-tokens", type=int, metavar="N", help="length of the answer at most")
    group.add_argument("--temperature", type=float, metavar="T", help="0 is the likeliest answer")
    group.add_argument("--top-p", type=float, metavar="P", help="draw from the likeliest only")
    group.add_argument("--seed", type=int, metavar="N", help="draw the same again")
    group.add_argument(
        "--privacy",
        choices=get_args(Privacy),
        help="who may see it: anybody, nodes with a grant, or the owner's own nodes",
    )
    group.add_argument("--stop", action="append", metavar="TEXT", help="end before this text")


def request_body(args: argparse.Namespace, messages: Sequence[Message]) -> dict[str, Any]:
    """The request for a conversation; flags that were not given are left out."""
    first = [{"role": "system", "content": args.system}] if args.system else []
    body: dict[str, Any] = {"model": args.model, "messages": [*first, *messages]}
    for name in ("max_tokens", "temperature", "top_p", "seed", "stop"):
        if getattr(args, name) is not None:
            body[name] = getattr(args, name)
    return body


def stream_answer(
    api: Api,
    body: Mapping[str, Any],
    *,
    show: Callable[[str], None],
    waiting: Callable[[int], None] = lambda position: None,
    begun_by: Callable[[str], None] = lambda node: None,
) -> Answer:
    """Send the request and pass each piece of text to `show`. Raises JobFailed and its like.

    `begun_by` hears which node began to answer.
    """
    answer, begun = Answer(), time.monotonic()
    body = {**body, "stream": True, "stream_options": {"include_usage": True}}
    try:
        with api.stream(CHAT_PATH, body) as (answer.node, lines):
            begun_by(answer.node)
            for event in read_events(lines):
                match event:
                    case Text(text):
                        if answer.first_seconds is None:
                            answer.first_seconds = time.monotonic() - begun
                        answer.text += text
                        show(text)
                    case Waiting(position):
                        waiting(position)
                    case Resumed():
                        answer.resumed += 1
                    case Ended(reason):
                        answer.reason = reason
                    case Counted(prompt, completion):
                        answer.prompt_tokens, answer.completion_tokens = prompt, completion
                    case Broken(_, message):
                        raise JobFailed(message)
    except ApiError as error:
        raise JobFailed(str(error)) from None
    answer.seconds = time.monotonic() - begun
    return answer


def show_text(text: str) -> None:
    """Write a piece of an answer, without what could steer the terminal."""
    say(printable(text), end="")


def show_waiting(position: int) -> None:
    """Say on a terminal that the job waits; a file of errors stays free of it."""
    if sys.stderr.isatty():
        remark(f"waiting, {position} before this one")


def served_by(answer: Answer) -> str:
    """One line about where and how fast an answer was made."""
    words = [f"served by {answer.node or 'an unnamed node'}"]
    if answer.first_seconds is not None:
        words.append(f"first text after {answer.first_seconds * 1000:.0f} ms")
    if answer.completion_tokens:
        speed = f" at {answer.speed:.0f} tokens/s" if answer.speed else ""
        words.append(f"{answer.completion_tokens} tokens{speed}")
    if answer.resumed:
        words.append("another node went on with it midway")
    return ", ".join(words)
