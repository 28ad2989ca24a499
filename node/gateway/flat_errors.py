"""Faults in the original platform's shape: {"error", "error_code", "request_id", "details"?}."""

from __future__ import annotations

from typing import Any

import orjson

from node.gateway.exchange import Answer
from node.gateway.faults import Fault

_CODES = {
    "not_found": "ROUTE_NOT_FOUND",
    "not_supported": "INVALID_MODEL_CAPABILITY",
    "context_length_exceeded": "CONTEXT_TOO_LONG",
    "model_unavailable": "ALL_PROVIDERS_FAILED",
    "job_failed": "ALL_PROVIDERS_FAILED",
    "internal_error": "GENERATION_ERROR",
}
"""Where the original had a name of its own; every other code is simply upper-cased."""


def error_code(fault: Fault) -> str:
    """The machine-readable code in the original's spelling."""
    return _CODES.get(fault.code, fault.code.upper())


def error_object(fault: Fault, request_id: str) -> dict[str, Any]:
    """The JSON value."""
    value: dict[str, Any] = {
        "error": fault.message,
        "error_code": error_code(fault),
        "request_id": request_id,
    }
    details = dict(fault.details or {})
    if fault.param is not None:
        details["param"] = fault.param
    if details:
        value["details"] = details
    return value


def render_error(fault: Fault, request_id: str) -> Answer:
    """A complete response. Job failures are 503 here, as the original's clients expect."""
    status = 503 if fault.code == "job_failed" else fault.status
    body = orjson.dumps(error_object(fault, request_id))
    return Answer(status, body, headers=list(fault.headers))
