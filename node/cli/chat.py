"""`electrons chat`: a conversation on the terminal."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from mesh.errors import JobError
from node.cli.ask import (
    Message,
    add_sampling_flags,
    request_body,
    served_by,
    show_text,
    show_waiting,
    stream_answer,
)
from node.cli.client import Api, add_client_flags, find_node
from node.cli.exit_code import ExitCode
from node.cli.terminal import printable, remark, say

with contextlib.suppress(ImportError):  # not on Windows: input() then has no history
    import readline  # noqa: F401  its import gives input() editing and history

MAX_MESSAGES = 200
"""Messages of the conversation that are sent; the oldest are forgotten beyond that."""

HELP = """\
/new            forget the conversation
/model NAME     ask another model
/who            show who served the last answer
/help           show this
/quit, Ctrl-D   leave
Ctrl-C          cancel the answer"""

EXAMPLES = f"""\
examples:
  electrons chat
  electrons chat --model qwen3:8b --system "You answer in one sentence."

inside the conversation:
{HELP}"""


@dataclass(slots=True)
class Conversation:
    """What was said, and who answers."""

    api: Api
    args: argparse.Namespace
    messages: list[Message] = field(default_factory=list)
    last: str = "nobody yet"

    def ask(self, words: str) -> None:
        """Send the words and show the answer; a failed or cancelled turn is forgotten."""
        turn = [*self.messages, {"role": "user", "content": words}][-MAX_MESSAGES:]
        body = request_body(self.args, turn)
        try:
            answer = stream_answer(self.api, body, show=show_text, waiting=show_waiting)
        except KeyboardInterrupt:
            say("")
            remark("cancelled")
            return
        except JobError as error:
            remark(f"electrons: {printable(error)}")
            return
        say("")
        self.messages = [*turn, {"role": "assistant", "content": answer.text}]
        self.last = served_by(answer)

    def command(self, line: str) -> bool:
        """Obey a line that begins with a slash; False means: leave."""
        word, _, rest = line.partition(" ")
        match word:
            case "/quit" | "/exit":
                return False
            case "/new":
                self.messages = []
                remark("forgotten")
            case "/model" if rest.strip():
                self.args.model = rest.strip()
                remark(f"asking {printable(self.args.model)} from now on")
            case "/who":
                remark(printable(self.last))
            case _:
                remark(HELP)
        return True


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.epilog = EXAMPLES
    add_sampling_flags(parser)
    add_client_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Read lines and answer them until the user leaves."""
    conversation = Conversation(find_node(args), args)
    conversation.api.get("/v1/models")  # a node that does not answer is noticed before typing
    remark(f"talking to {args.model}; /help lists what else can be done, Ctrl-D leaves")
    return converse(conversation, read=input)


def converse(conversation: Conversation, *, read: Callable[[str], str]) -> int:
    """The loop: one line, one answer. `read` raises EOFError at the end of input."""
    while True:
        try:
            line = read("> ").strip()
        except EOFError:
            say("")
            return ExitCode.OK
        except KeyboardInterrupt:
            say("")
            continue
        if line.startswith("/"):
            if not conversation.command(line):
                return ExitCode.OK
        elif line:
            conversation.ask(line)
