"""An engine that can go on with what another began, and streams that spoil what it sends."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from random import Random
from typing import Any

from mesh.capability import ModelRef
from mesh.errors import EngineError
from mesh.jobs import Chunk, Emitted, Feature, Finish, JobSpec, Usage
from mesh.ports import Stream
from mesh.wire.jobs import encode
from services.engines.engine import Event

EXACT = ModelRef("m", "demo", digest="d1", features=("logprobs", "resume"))
"""Draws by (seed, choice, position), and tells its token ids."""
ABLE: tuple[Feature, ...] = ("tools", "vision", "json", "logprobs", "resume")
TEXTUAL = ModelRef("m", "vllm", digest="d1", features=ABLE)
"""Goes on from text alone."""
PROMPT_TOKENS = 7


def word(seed: int | None, index: int, position: int) -> tuple[str, int]:
    """Text and id of one token; every seed, choice and position has its own."""
    token = Random(f"{seed} {index} {position}").randrange(1_000_000)
    return f"{index}.{position}:{token} ", token


def whole(seed: int | None, index: int, length: int) -> str:
    """What an unbroken run writes as one choice."""
    return "".join(word(seed, index, position)[0] for position in range(length))


class ResumableEngine:
    """Writes all choices side by side, choice i being 3 * i tokens longer than the first."""

    name = "resumable"

    def __init__(
        self,
        *,
        pace: float = 0.05,
        length: int = 40,
        with_ids: bool = True,
        fails_at: int | None = None,
        pauses_at: int | None = None,
    ) -> None:
        self.pace = pace
        self.length = length
        self.with_ids = with_ids
        self.fails_at = fails_at
        """The token of its own at which it breaks down."""
        self.pauses_at = pauses_at
        """The same for a pause of ten seconds."""
        self.generated = 0
        self.jobs: list[JobSpec] = []

    async def run(self, job: JobSpec, model: ModelRef) -> AsyncGenerator[Event, None]:
        self.jobs.append(job)
        count = job.sampling.n
        starts = job.resume or (Emitted(),) * count
        written = 0
        last = max(self.length_of(index) for index in range(count))
        for position in range(last):
            for index in range(count):
                if position < self._given(starts[index]) or position >= self.length_of(index):
                    continue
                if starts[index].finished:
                    continue
                await self._take_time(written)
                written += 1
                self.generated += 1
                yield self._chunk(job, index, position)
        total = sum(self.length_of(index) for index in range(count))
        yield Finish(("stop",) * count, Usage(PROMPT_TOKENS, total))

    def length_of(self, index: int) -> int:
        return self.length + 3 * index

    def _chunk(self, job: JobSpec, index: int, position: int) -> Chunk:
        text, token = word(job.sampling.seed, index, position)
        if self.with_ids:
            return Chunk(text, index, (token,))
        ending = position == self.length_of(index) - 1
        return Chunk(text, index, end="length" if ending else "")

    def _given(self, emitted: Emitted) -> int:
        if emitted.token_ids is not None:
            return len(emitted.token_ids)
        return emitted.text.count(" ")

    async def _take_time(self, written: int) -> None:
        await asyncio.sleep(self.pace)
        if written == self.fails_at:
            raise EngineError("out of memory")
        if written == self.pauses_at:
            await asyncio.sleep(10.0)


Spoil = Callable[["SpoiledStream", bytes], Any]


class SpoiledStream:
    """A worker's stream on which from message `at` on something goes wrong."""

    def __init__(self, stream: Stream, at: int, spoil: Spoil) -> None:
        self.stream = stream
        self.left = at
        self.queue: deque[bytes] = deque()
        self._spoil = spoil

    async def send(self, message: bytes) -> None:
        self.left -= 1
        if self.left >= 0:
            await self.stream.send(message)
        else:
            await self._spoil(self, message)

    async def receive(self) -> bytes | None:
        return await self.stream.receive()

    def finish(self) -> None:
        self.stream.finish()

    def reset(self, code: int = 0, reason: str = "") -> None:
        self.stream.reset(code, reason)

    def on_failure(self, callback: Callable[[], object]) -> None:
        self.stream.on_failure(callback)


async def send_garbage(spoiled: SpoiledStream, message: bytes) -> None:
    await spoiled.stream.send(b"\xc1 no message")


async def be_silent(spoiled: SpoiledStream, message: bytes) -> None:
    await asyncio.Event().wait()


async def swallow(spoiled: SpoiledStream, message: bytes) -> None:
    """Every message is lost, the worker goes on."""


async def end_early(spoiled: SpoiledStream, message: bytes) -> None:
    spoiled.stream.finish()


async def reset_it(spoiled: SpoiledStream, message: bytes) -> None:
    spoiled.stream.reset(99, "no")


async def answer_another_choice(spoiled: SpoiledStream, message: bytes) -> None:
    await spoiled.stream.send(encode(Chunk("not asked for", 15)))


async def answer_late(spoiled: SpoiledStream, message: bytes) -> None:
    """Everything from here on, signs of life as well, comes three seconds late."""
    spoiled.queue.append(message)
    if len(spoiled.queue) == 1:
        await asyncio.sleep(3.0)
        while spoiled.queue:
            await spoiled.stream.send(spoiled.queue[0])
            spoiled.queue.popleft()
