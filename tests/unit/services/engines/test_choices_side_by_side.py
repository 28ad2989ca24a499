"""Answers read side by side: bounded, closed with their reader, failing together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from mesh.errors import EngineError
from mesh.jobs import Chunk, Finish
from services.engines.engine import Event
from services.engines.parallel import merge


class Sources:
    """Generators that count how many of them run."""

    def __init__(self, *, fails: int | None = None) -> None:
        self.running = 0
        self.most = 0
        self.advanced = 0
        self._fails = fails

    async def one(self, number: int) -> AsyncGenerator[Event, None]:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            for position in range(5):
                await asyncio.sleep(0)
                if number == self._fails and position == 2:
                    raise EngineError("out of memory")
                self.advanced += 1
                yield Chunk(f"{number}.{position} ")
            yield Finish()
        finally:
            self.running -= 1


async def test_all_come_with_their_number_and_few_at_a_time() -> None:
    sources = Sources()
    texts = [""] * 7
    async for number, event in merge([sources.one(number) for number in range(7)], 3):
        if isinstance(event, Chunk):
            texts[number] += event.text
    assert texts == [f"{n}.0 {n}.1 {n}.2 {n}.3 {n}.4 " for n in range(7)]
    assert (sources.most, sources.running) == (3, 0)


async def test_the_first_failure_ends_all() -> None:
    sources = Sources(fails=1)
    with pytest.raises(EngineError, match="out of memory"):
        async for _ in merge([sources.one(number) for number in range(4)], 2):
            pass
    assert sources.running == 0


async def test_a_reader_that_leaves_closes_every_source() -> None:
    sources = Sources()
    async with aclosing(merge([sources.one(number) for number in range(4)], 4)) as events:
        async for _ in events:
            break
    assert sources.running == 0


async def test_a_slow_reader_is_not_run_ahead_of() -> None:
    sources = Sources()
    async with aclosing(merge([sources.one(number) for number in range(4)], 4)) as events:
        await anext(events)
        for _ in range(50):
            await asyncio.sleep(0)
        assert sources.advanced <= 1 + 1 + 4  # taken, ready, and one in each reader's hand


async def test_no_sources_end_at_once() -> None:
    assert [item async for item in merge([], 4)] == []
