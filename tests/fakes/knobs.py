"""What a fake engine can be told to do wrong, and what it remembers of its callers."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass, field, fields
from typing import Any

WORDS = ("The", " quick", " brown", " fox", " jumps", " over", " the", " lazy", " dog", ".")
MAX_REMEMBERED = 1_000
"""Requests kept for assertions; older ones are dropped so that benchmarks do not grow."""


@dataclass
class Knobs:
    """Misbehaviour, changeable while the fake runs. Seconds and token counts."""

    delay: float = 0.0
    """Seconds before each token."""
    first_delay: float = 0.0
    """Seconds before the first byte of an answer."""
    length: int = 8
    """Tokens until the model itself stops."""
    text: str = ""
    """What the model answers, instead of `length` words."""
    by_tokens: bool = False
    """Count the tokens of the rendered prompt, as real servers do, instead of its words."""
    thinks: bool = False
    """The chat template puts marks of a thought before an answer that is already begun."""
    trims: bool = False
    """The chat template trims an answer that is already begun, as many models' do."""
    echoes: bool = False
    """Give out what the prompt holds of the answer once more, as some servers do."""
    strips: bool = False
    """Strip the spaces before what is added, as some servers do."""
    token_bytes: int = 0
    """Pad every token to this many bytes; 0 leaves the words as they are."""
    fail_after: int | None = None
    """Cut the connection after this many tokens, without an end."""
    truncate_after: int | None = None
    """End the body properly after this many tokens, but without a finish reason."""
    garbage_after: int | None = None
    """Send bytes that are no event after this many tokens."""
    error_after: int | None = None
    """Send an error object inside the stream after this many tokens."""
    hang_after: int | None = None
    """Go silent after this many tokens, connection open."""
    busy: bool = False
    """Answer 503 to every generation."""
    loading: bool = False
    """Answer 503 to everything, as a server does while it loads weights."""
    refuse_usage: bool = False
    """Answer 400 when stream_options is sent, as old servers do."""
    tool_call: dict[str, Any] | None = None
    """{"name", "arguments": object}: call this tool instead of talking."""
    reasoning: str = ""
    """Think this aloud first."""
    mesh_header: str = ""
    """When set, every answer carries `x-electrons-node`, as a mesh daemon's does."""

    def update(self, values: dict[str, Any]) -> None:
        """Set knobs by name. Raises KeyError for a name that is none."""
        known = {item.name for item in fields(self)}
        for name, value in values.items():
            if name not in known:
                raise KeyError(name)
            setattr(self, name, value)


@dataclass
class Seen:
    """What the fake saw."""

    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    generations: int = 0
    running: int = 0
    tokens: int = 0
    disconnects: int = 0
    connections: set[Any] = field(default_factory=set)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a caller went away before its answer was complete."""

    def remember(self, body: dict[str, Any], headers: dict[str, str]) -> None:
        self.requests.append(body)
        self.headers.append(headers)
        del self.requests[:-MAX_REMEMBERED], self.headers[:-MAX_REMEMBERED]

    def counters(self) -> dict[str, int]:
        return {
            "generations": self.generations,
            "running": self.running,
            "tokens": self.tokens,
            "disconnects": self.disconnects,
            "connections": len(self.connections),
        }


def token(knobs: Knobs, position: int) -> str:
    """The text of one token: a function of its position, so that answers can be compared."""
    return WORDS[position % len(WORDS)].ljust(knobs.token_bytes, "~")


def state(knobs: Knobs, seen: Seen) -> dict[str, Any]:
    """Knobs and counters as JSON, for fakes that run as processes."""
    return {"knobs": asdict(knobs), "seen": seen.counters()}
