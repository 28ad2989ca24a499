"""The gateway does what /openapi.json says: schemathesis asks it, right and wrong things alike."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import ignored_auth

from mesh.consensus import GroupReport, Members
from mesh.ids import NodeId
from mesh.jobs import Chunk, Finish, Usage
from node.gateway.accounts import LocalAccounts
from node.gateway.admission_handlers import AdmissionHandlers
from node.gateway.gateway import Gateway
from node.gateway.group_handlers import GroupHandlers
from node.gateway.openapi import openapi_document
from node.gateway.owner_handlers import OwnerHandlers
from node.gateway.service_handlers import ServiceHandlers
from node.gateway.settings import Health, Suppliers
from tests.integration.gateway.listed_admissions import ListedAdmissions, PlainOffice
from tests.integration.gateway.listed_targets import ListedTargets, fixed_coverage
from tests.integration.gateway.owned_node import OwnedNode
from tests.integration.gateway.twins import (
    NODE,
    WORKER,
    FixedView,
    ScriptedDispatch,
    peer,
    served,
)

JSON_REPLY = (Chunk('{"a":'), Chunk("1}"), Finish(("stop",), Usage(1, 2)))


def build_gateway() -> Gateway:
    """A gateway whose every job answers with JSON, so that expect_json can be met too."""
    return Gateway(
        node_id=NODE,
        dispatch=ScriptedDispatch(JSON_REPLY),
        view=FixedView([peer(WORKER, served("story"))]),
        accounts=LocalAccounts(),
        suppliers=Suppliers(
            node_info=lambda: {"node_id": NODE, "in_flight": 0},
            own_models=lambda: (served("demo"),),
            health=lambda: Health(ready=True, state="joined"),
        ),
        services=ServiceHandlers(coverage=fixed_coverage, targets=ListedTargets()),
        owner=OwnerHandlers(OwnedNode()),
        group=GroupHandlers(tell_group, lambda: ""),
        admission=AdmissionHandlers(PlainOffice(ListedAdmissions())),
    )


async def tell_group() -> GroupReport:
    leader, other = NodeId("1" * 40), NodeId("2" * 40)
    members = Members((leader,), (other,))
    return GroupReport("a" * 32, leader, leader, 3, members, 9, 9, {other: 2}, (other,))


@pytest.fixture(scope="module")
def gateway_url() -> Iterator[str]:
    """A gateway on a loop in a thread of its own: schemathesis' client blocks."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> Gateway:
        gateway = build_gateway()
        await gateway.start("127.0.0.1", 0)
        return gateway

    gateway = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    yield f"http://127.0.0.1:{gateway.port}"
    asyncio.run_coroutine_threadsafe(gateway.close(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


schema = schemathesis.openapi.from_dict(orjson.loads(openapi_document()))


@schema.parametrize()
@settings(max_examples=15, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_route_behaves_as_described(case: schemathesis.Case[Any], gateway_url: str) -> None:
    # The connection from this machine is let in without a key, which ignored_auth cannot know.
    case.call_and_validate(base_url=gateway_url, excluded_checks=[ignored_auth], timeout=10)


async def test_the_description_names_exactly_the_routes_there_are() -> None:
    document = orjson.loads(openapi_document())
    described = {
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method in operations
    }
    gateway = build_gateway()
    routes = {(route.method, route.name) for route in gateway.routes}
    assert described == routes
