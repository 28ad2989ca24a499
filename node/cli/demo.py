"""`electrons demo`: a small mesh of real daemons on this machine, and generations through it."""

from __future__ import annotations

import argparse
import secrets
import signal
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mesh.errors import ElectronsError
from node.cli.ask import Answer, show_text, stream_answer
from node.cli.child_node import ChildNode
from node.cli.client import Api
from node.cli.exit_code import ExitCode
from node.cli.terminal import printable, remark, say, say_json

PROMPTS = ("Tell me a story about an owl.", "Tell me a story about a fox.")
SEED = 7
"""Drawn the same each time, so that an answer that was interrupted can be compared with one that
was not."""
KILL_AFTER = 25
"""Pieces of the second story that come before its worker is killed."""
RATE = 80
"""Tokens a second: slow enough to be seen coming."""
MAX_TOKENS = 160
JOIN_SECONDS = 10.0
"""From the last ready line until the gateway knows both workers."""
POLL = 0.05

EXAMPLES = """\
examples:
  electrons demo
  electrons demo --keep     (leaves the mesh running to play with, until Ctrl-C)

Three nodes start in a temporary folder: A asks and runs no engine, B and C run the demo model, a
tiny one that knows nothing. A is asked for a story, and for another: in the middle of that one the
worker that tells it is killed, and the other goes on. Nothing leaves this machine."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.epilog = EXAMPLES
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    parser.add_argument("--keep", action="store_true", help="kill nothing, run until Ctrl-C")


def run(args: argparse.Namespace) -> int:
    """Start, ask, ask again and kill midway, stop."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the nodes are stopped too
    with tempfile.TemporaryDirectory(
        prefix="electrons-demo-", ignore_cleanup_errors=True
    ) as folder:
        demo = Demo(Path(folder), quiet=args.json)
        try:
            demo.start()
            demo.ask(PROMPTS[0])
            if args.keep:
                demo.keep()
            else:
                demo.ask(PROMPTS[1], kill=True)
                demo.compare(PROMPTS[1])
        finally:
            demo.stop()
    demo.conclude(kept=args.keep)
    if args.json:
        say_json(demo.report())
    return ExitCode.OK


@dataclass(slots=True)
class Demo:
    """The nodes, and what has happened to them."""

    folder: Path
    quiet: bool
    begun: float = field(default_factory=time.monotonic)
    nodes: dict[str, ChildNode] = field(default_factory=dict)
    facts: list[dict[str, Any]] = field(default_factory=list)
    generations: list[dict[str, Any]] = field(default_factory=list)
    killed: str = ""

    def start(self) -> None:
        """Bring up A, then B and C at once, and wait until A knows what both serve."""
        network = f"demo-{secrets.token_hex(3)}"
        self._tell(f"starting three nodes on this machine, network {network}")
        self._launch("A", network, "--engine", "none")
        self._await("A", "asks, runs no engine")
        for name in ("B", "C"):
            engine = ("--engine", "demo", "--demo-rate", str(RATE))
            self._launch(name, network, *engine, "--join", self.nodes["A"].address)
        for name in ("B", "C"):
            self._await(name, "worker, demo model")
        self._await_workers()
        self._tell(f"A knows the workers of model demo after {self._elapsed():.1f} s")

    def ask(self, prompt: str, *, kill: bool = False) -> None:
        """Send a generation through A's gateway and show it as it comes; `kill`: not to its end."""
        gateway = self.nodes["A"]
        self._tell(f"\nasking A ({gateway.http}/v1/chat/completions): {prompt}\n")
        assassin = Assassin(self) if kill else None
        answer = self._send(prompt, assassin)
        server = self._check(answer)
        if assassin is not None:
            server = self._survivor(answer)
        self._tell(
            f"\n\n{'finished' if kill else 'served'} by {server.name} {server.node_id[:8]} "
            f"(process {server.pid}), asked of A {gateway.node_id[:8]} (process {gateway.pid}); "
            f"{_times(answer)}"
        )
        self.generations.append(
            {
                "asked": {"node_id": gateway.node_id, "pid": gateway.pid},
                "served": {"node_id": server.node_id, "pid": server.pid},
                "text": answer.text,
                "resumed": answer.resumed,
                "tokens": answer.completion_tokens,
                "first_text_ms": round((answer.first_seconds or 0) * 1000),
                "total_ms": round(answer.seconds * 1000),
            }
        )

    def compare(self, prompt: str) -> None:
        """Ask the survivor for the whole story. Raises ElectronsError where it differs."""
        again = self._send(prompt, None, silent=True)
        if again.text != self.generations[-1]["text"]:
            raise ElectronsError("the interrupted answer differs from an undisturbed one")
        self._tell(
            "the survivor alone tells the same story, letter by letter: nothing lost or repeated"
        )

    def kill(self, worker: ChildNode) -> None:
        """As a power cut would."""
        worker.kill()
        self.killed = worker.node_id
        self._tell(f" [{worker.name}, process {worker.pid}, is killed here] ", end="")

    def _send(self, prompt: str, assassin: Assassin | None, *, silent: bool = False) -> Answer:
        body = {
            "model": "demo",
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": MAX_TOKENS,
            "seed": SEED,
        }

        def show(text: str) -> None:
            if not (self.quiet or silent):
                show_text(text)
            if assassin is not None:
                assassin.count_piece()

        begun_by = (lambda node: None) if assassin is None else assassin.aim
        api = Api(self.nodes["A"].http, None)
        return stream_answer(api, body, show=show, begun_by=begun_by)

    def _survivor(self, answer: Answer) -> ChildNode:
        if not answer.resumed:
            raise ElectronsError("the answer was over before its worker was killed")
        return next(
            node for name, node in self.nodes.items() if name != "A" and node.node_id != self.killed
        )

    def keep(self) -> None:
        """Leave the mesh running until Ctrl-C."""
        remark("\nthe mesh runs until Ctrl-C; every node is a gateway to all of it:")
        for name, node in self.nodes.items():
            remark(f"  {name}  {node.http}")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            remark("")

    def stop(self) -> None:
        """Stop every node; kills what does not stop."""
        with ExitStack() as closing:
            for node in self.nodes.values():
                closing.callback(node.close)
                if node.running:
                    node.terminate()

    def conclude(self, *, kept: bool) -> None:
        """Say how it went."""
        if not kept:
            self._tell(
                f"\ndone in {self._elapsed():.1f} s: three nodes, two generations, one worker "
                "killed in the middle of its answer, no letter lost"
            )

    def report(self) -> dict[str, Any]:
        """The whole demo as data."""
        return {
            "nodes": self.facts,
            "generations": self.generations,
            "killed": self.killed or None,
            "seconds": round(self._elapsed(), 2),
        }

    def _launch(self, name: str, network: str, *flags: str) -> None:
        addresses = ("--http", "127.0.0.1:0", "--mesh", "127.0.0.1:0")
        flags = ("--network", network, "--no-mdns", *addresses, *flags)
        self.nodes[name] = ChildNode(name, self.folder, flags)

    def _await(self, name: str, about: str) -> None:
        node = self.nodes[name]
        node.wait_ready()
        self._tell(
            f"  {name}  {node.node_id[:8]}  process {node.pid}  {node.http}  {about}, ready after "
            f"{node.ready_seconds:.1f} s"
        )
        self.facts.append({"name": name, "pid": node.pid, **node.ready})

    def _await_workers(self) -> None:
        gateway = Api(self.nodes["A"].http, None)
        deadline = time.monotonic() + JOIN_SECONDS
        while True:
            models = gateway.get("/api/models").get("models", [])
            if any(model["id"] == "demo" and model["nodes"] >= 2 for model in models):
                return
            if time.monotonic() > deadline:
                raise ElectronsError(f"after {JOIN_SECONDS:g} s A does not know both workers")
            time.sleep(POLL)

    def _check(self, answer: Answer) -> ChildNode:
        """The node that served it. Raises ElectronsError when the answer proves nothing."""
        if not answer.text.strip():
            raise ElectronsError("the answer is empty")
        for node in self.nodes.values():
            if node.node_id == answer.node and node is not self.nodes["A"]:
                return node
        raise ElectronsError(f"the answer came from {answer.node or 'nobody'}, not from B or C")

    def _tell(self, text: str, end: str = "\n") -> None:
        if not self.quiet:
            say(printable(text), end=end)

    def _elapsed(self) -> float:
        return time.monotonic() - self.begun


class Assassin:
    """Kills the worker that began an answer, in the middle of it."""

    def __init__(self, demo: Demo) -> None:
        self._demo = demo
        self._target: ChildNode | None = None
        self._left = KILL_AFTER

    def aim(self, node_id: str) -> None:
        """The worker that began to answer."""
        nodes = self._demo.nodes.values()
        self._target = next((node for node in nodes if node.node_id == node_id), None)

    def count_piece(self) -> None:
        """A piece of the answer has come."""
        self._left -= 1
        if self._left == 0 and self._target is not None:
            self._demo.kill(self._target)


def _times(answer: Answer) -> str:
    first = (answer.first_seconds or 0) * 1000
    speed = f" at {answer.speed:.0f} tokens/s" if answer.speed else ""
    return f"first text after {first:.0f} ms, {answer.completion_tokens} tokens{speed}"
