"""Server-sent events as bytes. Source: WHATWG HTML, "Server-sent events", 2026-11."""

from __future__ import annotations

import math
from typing import Any

import orjson

from mesh.ports import Progress, Run

CONTENT_TYPE = "text/event-stream; charset=utf-8"
DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"
RESUMED = b": resumed on another node\n\n"


def data(value: Any) -> bytes:
    """One event with a JSON payload."""
    return b"data: " + orjson.dumps(value) + b"\n\n"


def progress(event: Progress) -> bytes:
    """A comment that says how far the job is from running."""
    if event.state == "running":
        return b": running\n\n"
    eta = "" if event.eta is None else f" eta_s={event.eta:.1f}"
    return f": queued position={event.position}{eta}\n\n".encode()


def totals(run: Run, tokens: int) -> bytes:
    """The comment before the end: who served, how long it waited, how much came."""
    return (
        f": electrons node={run.node} queue_ms={milliseconds(run.queue_seconds)}"
        f" routing_ms={milliseconds(run.routing_seconds)} tokens={tokens}"
        f" attempts={run.attempts}\n\n"
    ).encode()


def milliseconds(seconds: float) -> int:
    """Whole milliseconds, rounded; 0 for what is no finite number, as a worker may report."""
    value = seconds * 1000
    return round(value) if math.isfinite(value) else 0
