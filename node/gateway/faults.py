"""Everything that is not a success, as one value, and the single table from errors to statuses."""

from __future__ import annotations

from dataclasses import dataclass, field

from mesh.errors import (
    InvalidRequest,
    JobError,
    JobFailed,
    ModelNotFound,
    ModelUnavailable,
    Overloaded,
)
from node.gateway.exchange import Headers
from node.gateway.limits import MAX_BODY

_STATUS: tuple[tuple[type[JobError], int], ...] = (
    (InvalidRequest, 400),
    (ModelNotFound, 404),
    (ModelUnavailable, 503),
    (Overloaded, 503),
    (JobFailed, 502),
)
MAX_CLOSEST = 5


@dataclass(frozen=True, slots=True)
class Fault:
    """A refusal or failure in words for the client. `code` is stable and machine-readable."""

    status: int
    code: str
    message: str
    param: str | None = None
    headers: Headers = field(default_factory=list)
    details: dict[str, object] | None = None


class Refusal(Exception):
    """Carries a fault out of whatever found it."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def fault_of(error: JobError) -> Fault:
    """How a job's error reads to a client."""
    status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
    headers = [("retry-after", str(error.retry_after))] if isinstance(error, Overloaded) else []
    return Fault(status, error.code, _words(error), error.param, headers)


def _words(error: JobError) -> str:
    message = str(error)
    closest = error.closest[:MAX_CLOSEST] if isinstance(error, ModelNotFound) else ()
    missing = [name for name in closest if name not in message]
    return f"{message} (closest: {', '.join(missing)})" if missing else message


INTERNAL = Fault(500, "internal_error", "the gateway failed at this request; its log says why")
UNAUTHORISED = Fault(
    401,
    "invalid_api_key",
    "a valid API key is required: send it as 'Authorization: Bearer KEY'",
    headers=[("www-authenticate", "Bearer")],
)
NOT_ADMIN = Fault(
    403,
    "admin_required",
    "only the administrator may do this: use the commands on the node's own machine, or the token "
    "that its run.json holds",
)
TOO_LARGE = Fault(413, "request_too_large", f"the body is larger than {MAX_BODY} bytes")
TOO_SLOW = Fault(408, "request_timeout", "the request did not arrive in time")
HEAD_TOO_LARGE = Fault(431, "headers_too_large", "the request's headers are too large")
ENCODED = Fault(415, "unsupported_encoding", "compressed request bodies are not accepted")
BAD_FRAMING = Fault(400, "bad_request", "the request is not well-formed HTTP")
UNEXPECTED = Fault(417, "expectation_failed", "only 'Expect: 100-continue' is understood")
NO_WEBSOCKET = Fault(
    426,
    "upgrade_required",
    "this address takes WebSockets only",
    headers=[("upgrade", "websocket"), ("connection", "upgrade")],
)
DRAINING = Fault(503, "overloaded", "this node is stopping", headers=[("retry-after", "2")])
CROWDED = Fault(
    503, "overloaded", "too many requests are open on this node", headers=[("retry-after", "1")]
)
WRONG_HOST = Fault(
    421,
    "misdirected_request",
    "this gateway listens on loopback and answers only to loopback host names such as localhost",
)
WRONG_NAME = Fault(
    421,
    "misdirected_request",
    "this connection was made for another host name; make one for the name you ask for",
)
WRONG_ORIGIN = Fault(
    403,
    "origin_not_allowed",
    "web pages of other origins may not use this gateway unless it is configured to allow them",
)


def unknown_route(path: str) -> Fault:
    """404 for a path nobody serves."""
    return Fault(404, "not_found", f"no such route: {path[:200]}")


def wrong_method(method: str, path: str, allowed: str) -> Fault:
    """405 with the Allow header RFC 9110 15.5.6 asks for."""
    message = f"{method[:20]} is not allowed on {path[:200]}; use {allowed}"
    return Fault(405, "method_not_allowed", message, headers=[("allow", allowed)])
