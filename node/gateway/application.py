"""The gateway without a server: lets requests in, finds the handler, turns errors into answers.

Both HTTP front ends call `admit` when the headers are there, then `serve` with the body.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from mesh.clock import Clock
from mesh.ids import JobId
from mesh.ports import Accounts, Principal
from node.gateway import faults, flat_errors, openai_errors
from node.gateway.admission import (
    cors_headers,
    host_allowed,
    host_name,
    origin_allowed,
    preflight_headers,
    request_id_of,
    token_of,
)
from node.gateway.exchange import Answer, Head, Headers, Incoming, Reply
from node.gateway.faults import Fault, Refusal
from node.gateway.generation import fault_from
from node.gateway.limits import MAX_BODY, MAX_BUFFERED
from node.gateway.metrics import Metrics
from node.gateway.routes import Route, RouteTable
from node.gateway.settings import GatewaySettings

Handler = Callable[[Incoming, Reply], Awaitable[None]]

HEALTH = "/health"
LIVE = "/health/live"
NOBODY = Principal("nobody")
"""Who asks for a route that is open to all."""
GONE = 499
"""Status counted for a client that left, as nginx does; never sent."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that may come in, and where it goes."""

    incoming: Incoming
    route: Route[Handler]


class Application:
    """Admission, routing, errors and counting."""

    def __init__(
        self,
        *,
        routes: Sequence[Route[Handler]],
        accounts: Accounts,
        metrics: Metrics,
        settings: GatewaySettings,
        clock: Clock,
    ) -> None:
        self._table = RouteTable(routes)
        self._accounts = accounts
        self._metrics = metrics
        self._settings = settings
        self._clock = clock
        self._buffered = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.loopback_only = True
        """Bound to loopback: then only loopback host names are answered. Set before listening."""
        self.draining = False
        """No new requests are taken; what runs may finish."""

    def admit(self, head: Head) -> Admitted | Answer:
        """Decide on the headers alone; an Answer is a refusal that is ready to be sent."""
        job_id = JobId(secrets.token_hex(16))
        request_id = request_id_of(head.headers, job_id)
        common: Headers = [("x-request-id", request_id)]
        if "origin" in head.headers:
            common += cors_headers(head.headers, self._settings.allowed_origins)
        try:
            self._check_sender(head)
            if head.method == "OPTIONS":
                return self._preflight(head, common)
            route, tail = self._find(head)
            principal = self._accounts.authenticate(token_of(head.headers), local=head.local)
            if principal is None:
                if not route.open:
                    raise Refusal(faults.UNAUTHORISED)
                principal = NOBODY
            if head.door and principal.admin:
                principal = replace(principal, admin=False)  # that right ends at the machine
        except Refusal as refusal:
            return self._refuse(head, refusal.fault, common)
        incoming = Incoming(head, principal, request_id, job_id, self._clock.now(), common, tail)
        return Admitted(incoming, route)

    async def serve(self, admitted: Admitted, reply: Reply) -> None:
        """Run the handler and answer, whatever happens. Raises only CancelledError."""
        incoming, metrics = admitted.incoming, self._metrics
        metrics.in_flight += 1
        self._idle.clear()
        status = GONE
        try:
            await admitted.route.handler(incoming, reply)
            status = reply.status
        except ConnectionError:
            pass  # the client left; counted below as gone
        except Exception as error:  # noqa: BLE001 - the last place that can still answer
            status = await self._answer_error(incoming, reply, error)
        finally:
            metrics.in_flight -= 1
            if status == GONE:
                metrics.disconnects += 1
            metrics.count(admitted.route.name, status)
            if metrics.in_flight == 0:
                self._idle.set()

    def refuse(self, head: Head, fault: Fault) -> Answer:
        """The answer to a request that went wrong before a handler saw it."""
        request_id = request_id_of(head.headers, secrets.token_hex(16))
        common: Headers = [("x-request-id", request_id)]
        common += cors_headers(head.headers, self._settings.allowed_origins)
        return self._refuse(head, fault, common)

    def reserve(self, size: int) -> Fault | None:
        """Claim room for bytes of a body that have arrived; a fault when there is none."""
        if size > MAX_BODY:
            return faults.TOO_LARGE
        if self._buffered + size > MAX_BUFFERED:
            return faults.CROWDED
        self._buffered += size
        return None

    def release(self, size: int) -> None:
        """Give back what was reserved."""
        self._buffered -= size

    async def wait_idle(self, seconds: float) -> bool:
        """Wait until no request is being served; False when that took too long."""
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def _check_sender(self, head: Head) -> None:
        if self.draining:
            raise Refusal(faults.DRAINING)
        headers = head.headers
        if head.door:
            if host_name(headers.get("host", "")) != head.door:
                raise Refusal(faults.WRONG_NAME)
        elif self.loopback_only and not host_allowed(
            headers.get("host", ""), self._settings.allowed_hosts
        ):
            raise Refusal(faults.WRONG_HOST)
        if not origin_allowed(headers, self._settings.allowed_origins):
            raise Refusal(faults.WRONG_ORIGIN)
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise Refusal(faults.ENCODED)

    def _find(self, head: Head) -> tuple[Route[Handler], str]:
        path = LIVE if head.path == HEALTH and asks_live(head.query) else head.path
        found = self._table.find(head.method, path)
        if found is not None:
            return found
        allowed = self._table.methods(head.path)
        if not allowed:
            raise Refusal(faults.unknown_route(head.path))
        raise Refusal(faults.wrong_method(head.method, head.path, ", ".join(allowed)))

    def _preflight(self, head: Head, common: Headers) -> Answer:
        methods = self._table.methods(head.path)
        if not methods:
            raise Refusal(faults.unknown_route(head.path))
        self._metrics.count("preflight", 204)
        allowed = ", ".join(methods)
        headers = [("allow", allowed), *common]
        if len(common) > 1:
            headers += preflight_headers(allowed)
        return Answer(204, headers=headers)

    def _refuse(self, head: Head, fault: Fault, common: Headers) -> Answer:
        self._metrics.count("refused", fault.status)
        answer = _render(head.path, fault, common[0][1])
        return replace(answer, headers=[*answer.headers, *common])

    async def _answer_error(self, incoming: Incoming, reply: Reply, error: Exception) -> int:
        fault = error.fault if isinstance(error, Refusal) else fault_from(error)
        if reply.begun:
            reply.abort()
            return fault.status
        answer = _render(incoming.head.path, fault, incoming.request_id)
        try:
            await reply.send(answer)
        except ConnectionError:
            return GONE
        return answer.status


def _render(path: str, fault: Fault, request_id: str) -> Answer:
    """Under /v1 errors are OpenAI's; everywhere else the original platform's."""
    if path.startswith("/v1/"):
        return openai_errors.render_error(fault)
    return flat_errors.render_error(fault, request_id)


def asks_live(query: str) -> bool:
    """Whether GET /health has `live` in its query: then only liveness is asked for."""
    return any(item.partition("=")[0] == "live" for item in query.split("&"))
