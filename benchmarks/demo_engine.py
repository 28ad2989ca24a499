"""The demo engine alone: speed, start-up, memory, and what generating does to the event loop.

    python -m benchmarks.demo_engine

The same answers are also computed in a thread of this process, to show why the engine has a
process of its own.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from benchmarks.load import percentile
from mesh.capability import ModelRef
from mesh.jobs import Chunk, Finish, JobSpec, Sampling
from services.engines.demo.engine import DemoEngine
from services.engines.demo.facts import FOLDER
from services.engines.demo.process import ONE_THREAD

MODEL = ModelRef("demo", "demo")
ANSWERS = 12
TICK = 0.001
"""Seconds between two looks at how late the event loop is."""


def make_job(seed: int, *, stream: bool = True) -> JobSpec:
    message = {"role": "user", "content": "Tell me a story about an owl."}
    sampling = Sampling(temperature=1.0, seed=seed)
    return JobSpec("chat", "demo", (message,), sampling=sampling, stream=stream)


class LoopDelay:
    """How late the event loop calls back, sampled every tick."""

    def __init__(self) -> None:
        self.delays: list[float] = []
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._timer = self._loop.call_at(
            self._loop.time() + TICK, self._tick, self._loop.time() + TICK
        )

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self, due: float) -> None:
        self.delays.append(self._loop.time() - due)
        self.start()


@asynccontextmanager
async def watched(what: str) -> AsyncIterator[None]:
    """Print the loop's delay while something goes on."""
    delay = LoopDelay()
    delay.start()
    yield
    delay.stop()
    p50, p99 = (percentile(delay.delays, p) * 1000 for p in (50, 99))
    worst = max(delay.delays) * 1000
    print(f"event loop delay, {what}: p50 {p50:.2f} ms, p99 {p99:.2f} ms, worst {worst:.1f} ms")


async def write(engine: DemoEngine, seed: int, *, stream: bool = True) -> tuple[int, float]:
    """Tokens of one answer, and seconds to the first of them."""
    started, first, tokens = time.perf_counter(), 0.0, 0
    async for event in engine.run(make_job(seed, stream=stream), MODEL):
        if isinstance(event, Chunk):
            first = first or time.perf_counter() - started
        elif isinstance(event, Finish):
            tokens = event.usage.completion_tokens
    return tokens, first


async def measure_speed(what: str, answer: Callable[[int], Awaitable[int]]) -> None:
    started = time.perf_counter()
    tokens = sum([await answer(seed) for seed in range(ANSWERS)])
    print(f"{what}: {tokens / (time.perf_counter() - started):.0f} tokens/s")


async def measure_process() -> None:
    engine = DemoEngine()
    try:
        _, cold = await write(engine, 0)
        _, warm = await write(engine, 0)
        print(f"first token: {cold * 1000:.0f} ms from nothing, {warm * 1000:.1f} ms when running")
        async with watched("process"):
            await measure_speed("process, one stream", lambda seed: _tokens(engine, seed, True))
        await measure_speed("process, in pieces", lambda seed: _tokens(engine, seed, False))
        memory = psutil.Process(engine.pid).memory_full_info()
        mine, resident = memory.pss / 2**20, memory.rss / 2**20
        print(f"process memory: {mine:.1f} MiB (its share), {resident:.1f} resident")
    finally:
        await engine.close()


async def measure_thread() -> None:
    """The same work in a thread: NumPy holds the interpreter between its short calls."""
    os.environ.update(ONE_THREAD)
    # Imported late on purpose: the limits above count only before NumPy is loaded.
    from services.engines.demo.answer import write_answers
    from services.engines.demo.model import Llama
    from services.engines.demo.request import read_request
    from services.engines.demo.tokenizer import Tokenizer

    model = Llama(FOLDER / "model.safetensors")
    tokenizer = Tokenizer.load(Path(FOLDER / "tokenizer.json"))

    def answer(seed: int) -> int:
        events = list(write_answers(model, tokenizer, read_request(make_job(seed), seed)))
        assert isinstance(events[-1], Finish)
        return events[-1].usage.completion_tokens

    async with watched("thread"):
        await measure_speed("thread, one stream", lambda seed: asyncio.to_thread(answer, seed))


async def _tokens(engine: DemoEngine, seed: int, stream: bool) -> int:
    return (await write(engine, seed, stream=stream))[0]


async def main() -> None:
    async with watched("idle"):
        await asyncio.sleep(1)
    await measure_process()
    await measure_thread()


if __name__ == "__main__":
    asyncio.run(main())
