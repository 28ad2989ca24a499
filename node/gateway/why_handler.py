"""GET /api/requests/{id}/why: what happened to one request that this gateway took."""

from __future__ import annotations

import orjson

from coordinator.scheduling.account import account_for
from coordinator.scheduling.trace import MAX_TRACES, Traces
from node.gateway.exchange import Answer, Incoming
from node.gateway.faults import Fault, Refusal, unknown_route

PREFIX = "/api/requests/"
SUFFIX = "/why"


class WhyHandler:
    """Answers from memory. A request is shown to the tenant that sent it, and to admins."""

    def __init__(self, traces: Traces) -> None:
        self._traces = traces

    def why(self, incoming: Incoming) -> Answer:
        """Raises Refusal: 404 for a request that is unknown here, or is another tenant's."""
        wanted, suffix, rest = incoming.tail.rpartition(SUFFIX)
        if not suffix or rest or not wanted:
            raise Refusal(unknown_route(incoming.head.path))
        principal = incoming.principal
        trace = self._traces.find(wanted, None if principal.admin else principal.tenant)
        if trace is None:
            raise Refusal(_unknown(wanted))
        return Answer(200, orjson.dumps(account_for(trace)))


def _unknown(wanted: str) -> Fault:
    words = (
        f"no request {wanted[:100]!r} is remembered here: each gateway remembers the last "
        f"{MAX_TRACES:,} requests for generations since its start, so ask the one that answered "
        "it, with the id from its x-request-id header and the key that sent it"
    )
    return Fault(404, "request_not_found", words)
