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
tiny one that knows nothing. A is asked for a story; then the worker that told it is killed
and A is asked again. Nothing leaves this machine."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.epilog = EXAMPLES
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    parser.add_argument("--keep", action="store_true", help="kill nothing, run until Ctrl-C")


def run(args: argparse.Namespace) -> int:
    """Start, ask, kill, ask again, stop."""
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
                demo.kill_worker()
                demo.ask(PROMPTS[1])
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

    def ask(self, prompt: str) -> None:
        """Send a generation through A's gateway and show the answer as it comes."""
        gateway = self.nodes["A"]
        self._tell(f"\nasking A ({gateway.http}/v1/chat/completions): {prompt}\n")
        body = {
            "model": "demo",
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": MAX_TOKENS,
        }
        show = (lambda text: None) if self.quiet else show_text
        answer = stream_answer(Api(gateway.http, None), body, show=show)
        server = self._check(answer)
        self._tell(
            f"\n\nserved by {server.name} {server.node_id[:8]} (process {server.pid}), asked of A "
            f"{gateway.node_id[:8]} (process {gateway.pid}); {_times(answer)}"
        )
        self.generations.append(
            {
                "asked": {"node_id": gateway.node_id, "pid": gateway.pid},
                "served": {"node_id": server.node_id, "pid": server.pid},
                "text": answer.text,
                "tokens": answer.completion_tokens,
                "first_text_ms": round((answer.first_seconds or 0) * 1000),
                "total_ms": round(answer.seconds * 1000),
            }
        )

    def kill_worker(self) -> None:
        """Kill the worker that served last, as a power cut would."""
        served = self.generations[-1]["served"]["node_id"]
        worker = next(node for node in self.nodes.values() if node.node_id == served)
        worker.kill()
        self.killed = worker.node_id
        self._tell(f"killed {worker.name} (process {worker.pid}) without a warning")

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
                "killed between them, no request lost"
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

    def _tell(self, text: str) -> None:
        if not self.quiet:
            say(printable(text))

    def _elapsed(self) -> float:
        return time.monotonic() - self.begun


def _times(answer: Answer) -> str:
    first = (answer.first_seconds or 0) * 1000
    speed = f" at {answer.speed:.0f} tokens/s" if answer.speed else ""
    return f"first text after {first:.0f} ms, {answer.completion_tokens} tokens{speed}"
