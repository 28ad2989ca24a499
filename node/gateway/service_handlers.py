"""Handlers of the services that the mesh keeps running: coverage to all, targets to the admin."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from mesh.coverage import CoverageReport, Targets
from mesh.errors import NoQuorum
from node.gateway import faults
from node.gateway.application import Handler
from node.gateway.exchange import Answer, Incoming, Reply
from node.gateway.faults import Fault, Refusal
from node.gateway.json_body import decode_object
from node.gateway.routes import Route
from node.gateway.services import (
    coverage_object,
    parse_service_name,
    parse_target,
    target_object,
)

AskCoverage = Callable[[], Awaitable[CoverageReport]]

NO_TARGETS = Fault(
    503,
    "no_coordinator",
    "services are declared in a mesh with coordinators: see 'electrons mesh create'",
)
NO_QUORUM = Fault(
    503,
    "no_quorum",
    "too few coordinators are in touch to decide anything; nothing was changed",
    headers=[("retry-after", "2")],
)
UNDECIDED = Fault(
    504,
    "undecided",
    "the coordinators did not answer in time; the change may still come: ask again",
)


class ServiceHandlers:
    """`targets` None: this mesh has no coordinators, so nothing can be declared."""

    def __init__(self, *, coverage: AskCoverage, targets: Targets | None) -> None:
        self._coverage = coverage
        self._targets = targets

    def routes(self) -> list[Route[Handler]]:
        """What these handlers answer."""
        one = "/api/services/{name}"
        return [
            Route("GET", "/api/gaps", self.gaps),
            Route("GET", "/api/services", self.list),
            Route("PUT", "/api/services/", self.set, label=one),
            Route("DELETE", "/api/services/", self.remove, label=one),
        ]

    async def gaps(self, incoming: Incoming, reply: Reply) -> None:
        """GET /api/gaps."""
        await reply.send(_json(coverage_object(await self._coverage())))

    async def list(self, incoming: Incoming, reply: Reply) -> None:
        """GET /api/services."""
        targets = await _decided(self._known().list())
        await reply.send(_json({"services": [target_object(target) for target in targets]}))

    async def set(self, incoming: Incoming, reply: Reply) -> None:
        """PUT /api/services/{name}."""
        _check_admin(incoming)
        target = parse_target(incoming.tail, decode_object(incoming.take_body()))
        await _decided(self._known().set(target))
        await reply.send(_json(target_object(target)))

    async def remove(self, incoming: Incoming, reply: Reply) -> None:
        """DELETE /api/services/{name}."""
        _check_admin(incoming)
        name = parse_service_name(incoming.tail)
        if not await _decided(self._known().remove(name)):
            raise Refusal(Fault(404, "service_not_found", f"there is no service {name!r}"))
        await reply.send(_json({"removed": name}))

    def _known(self) -> Targets:
        if self._targets is None:
            raise Refusal(NO_TARGETS)
        return self._targets


async def _decided(change: Awaitable[Any]) -> Any:
    try:
        return await change
    except NoQuorum:
        raise Refusal(NO_QUORUM) from None
    except TimeoutError:
        raise Refusal(UNDECIDED) from None


def _check_admin(incoming: Incoming) -> None:
    if not incoming.principal.admin:
        raise Refusal(faults.NOT_ADMIN)


def _json(value: Any) -> Answer:
    return Answer(200, orjson.dumps(value))
