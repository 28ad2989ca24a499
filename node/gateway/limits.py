"""What a client may cost. Each number bounds memory or time that a stranger can claim."""

from __future__ import annotations

MAX_BODY = 8 * 1024 * 1024
"""Bytes of a request body; room for a few images as data URIs."""
MAX_BUFFERED = 256 * 1024 * 1024
"""Bytes of request bodies held at once, over all connections."""
MAX_HEAD = 16 * 1024
"""Bytes of request line and headers together."""
MAX_HEADERS = 100
MAX_DEPTH = 64
"""Nesting of arrays and objects in a JSON body."""
MAX_BRACKETS = 400_000
"""Brackets of a JSON body: each pair becomes a Python object of 60 bytes or more."""
MAX_CONNECTIONS = 4096
"""Open client connections; one more is answered 503 and closed."""
MAX_PIPELINED = 64 * 1024
"""Bytes read ahead of the request being served; reading pauses above."""

HEAD_SECONDS = 5.0
"""From the first byte of a request until its headers are complete."""
BODY_SECONDS = 10.0
BODY_RATE = 64 * 1024
"""Bytes per second at which a body must keep arriving; it may fall BODY_SECONDS behind."""
OPENING_SECONDS = 10.0
"""From the connection until its first request begins; clients connect when they have one."""
IDLE_SECONDS = 75.0
"""A connection between two requests is closed after this."""
STALL_SECONDS = 120.0
"""A client that takes nothing of its answer for this long is let go."""

MAX_MODEL_NAME = 256
MAX_MESSAGES = 4096
MAX_STOP_LENGTH = 1024
"""Characters of one stop sequence."""
MAX_TOP_LOGPROBS = 20
MAX_TOKENS = 10_000_000
"""Upper bound for max_tokens; engines bound it further by their context."""
MAX_ANSWER = 16 * 1024 * 1024
"""Characters of an answer that is collected before it is sent."""
MAX_TOOL_CALLS = 256
MAX_REQUEST_ID = 128
MAX_TOKEN = 4096
"""Characters of an API key."""
MAX_KEYS = 1000
MAX_LISTED_MODELS = 5000
MAX_LISTED_PROVIDERS = 100
"""Nodes shown per model in /api/models."""
MAX_JSON_RETRIES = 5


def body_deadline(deadline: float, arrived: int, now: float, seconds: float) -> float:
    """When the next bytes of a body are due, now that `arrived` more have come.

    A burst earns no more than `seconds` of silence, so that holding room costs sending.
    """
    return min(deadline + arrived / BODY_RATE, now + seconds)
