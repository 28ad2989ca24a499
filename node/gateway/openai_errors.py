"""Faults in OpenAI's shape: {"error": {"message", "type", "param", "code"}}."""

from __future__ import annotations

from typing import Any

import orjson

from node.gateway import sse
from node.gateway.exchange import Answer
from node.gateway.faults import Fault


def error_object(fault: Fault) -> dict[str, Any]:
    """The JSON value."""
    return {
        "error": {
            "message": fault.message,
            "type": _type_of(fault.status),
            "param": fault.param,
            "code": fault.code,
        }
    }


def render_error(fault: Fault) -> Answer:
    """A complete response."""
    return Answer(fault.status, orjson.dumps(error_object(fault)), headers=list(fault.headers))


def render_stream_error(fault: Fault) -> bytes:
    """The event that ends a stream which had already begun."""
    return sse.data(error_object(fault))


def _type_of(status: int) -> str:
    if status == 429:
        return "rate_limit_error"
    return "invalid_request_error" if status < 500 else "server_error"
