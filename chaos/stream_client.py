"""A client of streamed answers, with what is done to their worker midway."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import aiohttp


@dataclass
class Told:
    """What one client was told."""

    text: str = ""
    node: str = ""
    times: list[float] = field(default_factory=list)
    resumed: int = 0
    usage: int = 0
    done: bool = False

    @property
    def longest_gap(self) -> float:
        return max((later - earlier for earlier, later in pairwise(self.times)), default=0.0)


async def ask(
    session: aiohttp.ClientSession,
    url: str,
    model: str,
    prompt: str,
    seed: int,
    *,
    tokens: int,
    lose_at: int = 0,
    lose: Callable[[str], None] = lambda node: None,
) -> Told:
    """One streamed answer; after `lose_at` pieces `lose` is told its worker."""
    told = Told()
    body = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": tokens,
        "seed": seed,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    async with session.post(f"{url}/v1/chat/completions", json=body) as answer:
        told.node = answer.headers.get("x-electrons-node", "")
        async for data in answer.content:
            if _take(told, data.decode().strip()) and len(told.times) == lose_at:
                lose(told.node)
    return told


def _take(told: Told, line: str) -> bool:
    """True when the line brought text."""
    if line.startswith(": resumed"):
        told.resumed += 1
    if not line.startswith("data: {"):
        told.done = told.done or line == "data: [DONE]"
        return False
    event = json.loads(line[6:])
    if event.get("usage"):
        told.usage = event["usage"]["completion_tokens"]
    text = "".join(choice["delta"].get("content") or "" for choice in event.get("choices", ()))
    told.text += text
    if text:
        told.times.append(time.monotonic())
    return bool(text)
