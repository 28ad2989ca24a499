"""Reads streamed answers line by line, with what may be done to their worker midway."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import aiohttp

from tests.integration.mesh.daemon import Daemon

STORY = [{"role": "user", "content": "Tell me a story about an owl."}]
RESUMED = ": resumed on another node"


@dataclass
class Heard:
    """One streamed answer."""

    node: str = ""
    """Who served it at first."""
    texts: dict[int, str] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    reasons: dict[int, str] = field(default_factory=dict)
    usage: dict[str, int] = field(default_factory=dict)
    error: dict[str, Any] = field(default_factory=dict)
    done: bool = False

    @property
    def longest_gap(self) -> float:
        return max(later - earlier for earlier, later in pairwise(self.times))

    def take(self, line: str) -> bool:
        """True when it brought text."""
        if line.startswith(":"):
            self.comments.append(line)
        elif line == "data: [DONE]":
            self.done = True
        elif line.startswith("data:"):
            return self._take_event(json.loads(line[5:]))
        return False

    def _take_event(self, event: dict[str, Any]) -> bool:
        self.error = event.get("error") or self.error
        self.usage = event.get("usage") or self.usage
        said = False
        for choice in event.get("choices", ()):
            index, text = choice["index"], choice["delta"].get("content")
            if text:
                self.texts[index] = self.texts.get(index, "") + text
                said = True
            if choice["finish_reason"]:
                self.reasons[index] = choice["finish_reason"]
        return said


async def hear(
    gateway: Daemon,
    *,
    after: int = -1,
    do: Callable[[str], Awaitable[None]] | None = None,
    **fields: Any,
) -> Heard:
    """Take a whole streamed chat; after so many pieces `do` is called with the worker's node id."""
    body: dict[str, Any] = {"model": "demo", "messages": STORY, "stream": True, **fields}
    body["stream_options"] = {"include_usage": True}
    heard, pieces = Heard(), 0
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{gateway.http}/v1/chat/completions", json=body) as answer,
    ):
        assert answer.status == 200, await answer.text()
        heard.node = answer.headers["x-electrons-node"]
        async for line in answer.content:
            if heard.take(line.decode().rstrip("\n")):
                pieces += 1
                heard.times.append(time.monotonic())
                if pieces == after and do is not None:
                    await do(heard.node)
    return heard
