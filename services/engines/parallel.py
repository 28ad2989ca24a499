"""Several answers read side by side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from mesh.lifecycle import Tasks
from services.engines.engine import Event

Item = tuple[int, Event] | Exception | None
"""What a reader passes on: an event of a source, a failure, or None when no source is left."""


async def merge(
    sources: Sequence[AsyncGenerator[Event, None]], at_once: int
) -> AsyncGenerator[tuple[int, Event], None]:
    """Yield (number of the source, event) as they come, from `at_once` sources at a time.

    At most one event of each source is read ahead. The first failure ends all and is raised;
    closing the generator closes every source.
    """
    waiting = list(enumerate(sources))[::-1]
    ready: asyncio.Queue[Item] = asyncio.Queue(maxsize=1)
    tasks = Tasks("choices")
    readers = min(at_once, len(sources))
    try:
        for number in range(readers):
            tasks.spawn(_read(waiting, ready), str(number))
        while readers:
            item = await ready.get()
            if isinstance(item, Exception):
                raise item
            if item is None:
                readers -= 1
            else:
                yield item
    finally:
        await tasks.close()
        for source in sources:
            await source.aclose()


async def _read(
    waiting: list[tuple[int, AsyncGenerator[Event, None]]], ready: asyncio.Queue[Item]
) -> None:
    try:
        while waiting:
            number, source = waiting.pop()
            async with aclosing(source) as events:
                async for event in events:
                    await ready.put((number, event))
    except Exception as error:  # noqa: BLE001 (every kind is raised again where it is read)
        await ready.put(error)
    else:
        await ready.put(None)
