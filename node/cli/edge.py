"""`electrons edge`."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import sys

from edge_router.main import run_edge
from mesh.errors import ConfigError, ElectronsError
from node.cli.exit_code import ExitCode
from node.cli.terminal import say

EXAMPLES = """\
examples:
  electrons edge --host 0.0.0.0 --port 7719
  electrons edge --host 127.0.0.1 --port 7719 --trusted-proxy 127.0.0.1

Newcomers ask an edge router for nodes they can reach: electrons up --edge http://HOST:7719
It keeps everything in memory, sees no jobs, and may be lost at any time."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.epilog = EXAMPLES
    parser.add_argument("--host", default="0.0.0.0", help="address to listen on (all of them)")
    parser.add_argument("--port", type=int, default=7719, help="0 picks a free one (7719)")
    parser.add_argument(
        "--trusted-proxy",
        action="append",
        default=[],
        metavar="IP",
        help="believe X-Forwarded-For from this address; repeatable",
    )
    parser.add_argument("--json", action="store_true", help="the first line is one JSON object")


def run(args: argparse.Namespace) -> int:
    """Run an edge router until Ctrl-C or SIGTERM."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    if not 0 <= args.port <= 65535:
        raise ConfigError("--port", args.port, "give a whole number from 0 to 65535")
    try:
        asyncio.run(_serve(args))
    except (
        ConfigError
    ) as error:  # what it says of the address; a port that is taken may be free soon
        raise ElectronsError(f"--host {args.host} --port {args.port}: {error.allowed}") from None
    return ExitCode.OK


async def _serve(args: argparse.Namespace) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows: Ctrl-C arrives as KeyboardInterrupt there
            break

    def ready(url: str) -> None:
        if args.json:
            say(json.dumps({"url": url, "pid": os.getpid()}))
        else:
            say(f"edge router at {url}\nnodes find it by: electrons up --edge {url}")

    await run_edge(args.host, args.port, trusted_proxies=args.trusted_proxy, ready=ready, stop=stop)
