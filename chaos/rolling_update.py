"""Ten nodes updated one after the other under load: `python -m chaos.rolling_update`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.processes import Child, Stage, stage
from chaos.next_release import VERSION, make_release

ELECTRONS = Path(sys.executable).with_name("electrons")
BODY = {"model": "demo", "messages": [{"role": "user", "content": "Tell me a story."}]}
WORKERS = 4
"""Nodes that run the demo model; the rest only take requests, and send them to these."""


async def ask(session: aiohttp.ClientSession, url: str, stream: bool) -> str:
    """One request; "ok", or what went wrong."""
    try:
        async with session.post(
            f"{url}/v1/chat/completions", json={**BODY, "stream": stream}
        ) as answer:
            text = await answer.text()
    except aiohttp.ClientError as error:
        return f"connection: {type(error).__name__}"
    except TimeoutError:
        return "too late"
    whole = text.rstrip().endswith("data: [DONE]") if stream else '"finish_reason"' in text
    return "ok" if answer.status == 200 and whole else f"status {answer.status}: {text[-200:]}"


async def keep_asking(
    urls: list[str], rate: float, results: Counter[str], over: asyncio.Event
) -> None:
    """Ask the gateways in turn, `rate` times a second, every other time as a stream."""
    timeout = aiohttp.ClientTimeout(total=120)
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    number = 0

    async def once(session: aiohttp.ClientSession, url: str, stream: bool) -> None:
        results[await ask(session, url, stream)] += 1

    async with (
        aiohttp.ClientSession(timeout=timeout, connector=connector) as session,
        asyncio.TaskGroup() as group,
    ):
        while not over.is_set():
            group.create_task(once(session, urls[number % len(urls)], number % 2 == 0))
            number += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), 1 / rate)


async def update(child: Child, program: Path) -> float:
    """Update one node; seconds it took. Raises CalledProcessError."""
    start = time.perf_counter()
    words = ["update", "--data-dir", child.hello["data_dir"], "--executable", str(program)]
    process = await asyncio.create_subprocess_exec(
        ELECTRONS, *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    _, errors = await process.communicate()
    if process.returncode:
        raise RuntimeError(errors.decode())
    return time.perf_counter() - start


def start_nodes(processes: Stage, count: int) -> list[Child]:
    """A mesh of `count` nodes, some of them workers."""
    nodes: list[Child] = []
    for number in range(count):
        join = ["--join", nodes[0].hello["mesh"]] if nodes else []
        engine = (
            ["--engine", "demo", "--demo-rate", "200"] if number < WORKERS else ["--engine", "none"]
        )
        nodes.append(processes.node(*engine, *join, core=None))
        nodes[-1].hello["data_dir"] = str(processes.folder / f"node-{number}")
    return nodes


async def run(count: int, rate: float) -> dict[str, Any]:
    """Start, ask, update all, report."""
    with stage() as processes:
        program = make_release(processes.folder / "next")
        nodes = start_nodes(processes, count)
        results: Counter[str] = Counter()
        over = asyncio.Event()
        seconds: list[float] = []
        await asyncio.sleep(1)  # let the last node be known to all
        async with asyncio.TaskGroup() as group:
            urls = [node.hello["http"] for node in nodes]
            group.create_task(keep_asking(urls, rate, results, over))
            try:
                for node in nodes:
                    seconds.append(await update(node, program))
                    print(f"{len(seconds)}/{count} updated in {seconds[-1]:.1f} s", file=sys.stderr)
            finally:
                over.set()
        return {
            "nodes": count,
            "version": VERSION,
            "requests": results.total(),
            "failed": results.total() - results["ok"],
            "results": dict(results),
            "seconds_per_node": round(sum(seconds) / count, 2),
        }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=10)
    parser.add_argument("--rate", type=float, default=5.0, help="requests a second")
    args = parser.parse_args()
    report = asyncio.run(run(args.nodes, args.rate))
    print(json.dumps(report, indent=1))
    return 1 if report["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
