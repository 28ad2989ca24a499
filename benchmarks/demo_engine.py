"""The demo engine alone: speed, start-up, memory, and what generating does to the event loop.

    python -m benchmarks.demo_engine

The same answers are also computed in a thread beside an event loop (`demo_thread.py`), to show why
the engine has a process of its own.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable

import psutil

from benchmarks.loop_delay import watched
from mesh.capability import ModelRef
from mesh.jobs import Chunk, Finish, JobSpec, Sampling
from mesh.lifecycle import Tasks
from services.engines.demo.engine import DemoEngine
from services.engines.demo.process import ONE_THREAD

MODEL = ModelRef("demo", "demo")
ANSWERS = 8
STREAMS = (1, 4)


def make_job(seed: int, *, stream: bool = True) -> JobSpec:
    message = {"role": "user", "content": "Tell me a story about an owl."}
    sampling = Sampling(temperature=1.0, seed=seed)
    return JobSpec("chat", "demo", (message,), sampling=sampling, stream=stream)


async def write(engine: DemoEngine, seed: int, *, stream: bool = True) -> tuple[int, float]:
    """Tokens of one answer, and seconds to the first of them."""
    started, first, tokens = time.perf_counter(), 0.0, 0
    async for event in engine.run(make_job(seed, stream=stream), MODEL):
        if isinstance(event, Chunk):
            first = first or time.perf_counter() - started
        elif isinstance(event, Finish):
            tokens = event.usage.completion_tokens
    return tokens, first


async def measure_speed(what: str, answer: Callable[[int], Awaitable[int]], streams: int) -> None:
    """Write ANSWERS answers on each of some streams and print the speed of all together."""
    tasks = Tasks("benchmark")

    async def write_some(stream: int) -> int:
        return sum([await answer(stream * ANSWERS + number) for number in range(ANSWERS)])

    started = time.perf_counter()
    written = [tasks.spawn(write_some(stream), "stream") for stream in range(streams)]
    tokens = sum([await task for task in written])
    print(f"{what}, {streams} streams: {tokens / (time.perf_counter() - started):.0f} tokens/s")


async def measure_process() -> None:
    engine = DemoEngine()
    try:
        _, cold = await write(engine, 0)
        _, warm = await write(engine, 0)
        print(f"first token: {cold * 1000:.0f} ms from nothing, {warm * 1000:.1f} ms when running")
        for streams in STREAMS:
            async with watched("process"):
                await measure_speed("process", lambda seed: _tokens(engine, seed, True), streams)
        await measure_speed("process, in pieces", lambda seed: _tokens(engine, seed, False), 1)
        memory = psutil.Process(engine.pid).memory_full_info()
        mine, resident = memory.pss / 2**20, memory.rss / 2**20
        print(f"process memory: {mine:.1f} MiB (its share), {resident:.1f} resident")
    finally:
        await engine.close()


async def _tokens(engine: DemoEngine, seed: int, stream: bool) -> int:
    return (await write(engine, seed, stream=stream))[0]


async def main() -> None:
    async with watched("idle"):
        await asyncio.sleep(1)
    await measure_process()
    thread = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.demo_thread", env={**os.environ, **ONE_THREAD}
    )
    await thread.wait()


if __name__ == "__main__":
    asyncio.run(main())
