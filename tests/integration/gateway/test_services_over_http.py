"""Services and gaps over HTTP: what is told to whom, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.errors import NoQuorum
from mesh.targets import ServiceTarget
from node.gateway.accounts import LocalAccounts
from node.gateway.service_handlers import ServiceHandlers
from tests.integration.gateway.conftest import Door, Opener
from tests.integration.gateway.listed_targets import (
    COORDINATOR,
    ListedTargets,
    fixed_coverage,
)

ADMIN = {"Authorization": "Bearer secret"}
CHAT = "/api/services/chat"


@pytest.fixture
def targets() -> ListedTargets:
    return ListedTargets(ServiceTarget("tags", "small", priority=3))


@pytest.fixture
async def desk(open_door: Opener, targets: ListedTargets) -> Door:
    return await open_door(
        accounts=LocalAccounts(admin_token="secret"),
        services=ServiceHandlers(coverage=fixed_coverage, targets=targets),
    )


async def change(desk: Door, method: str, path: str, **options: Any) -> tuple[int, Any]:
    url = desk.url + path
    async with desk.session.request(method, url, headers=ADMIN, **options) as answer:
        return answer.status, await answer.json()


async def test_gaps_are_shown_with_their_reasons(desk: Door) -> None:
    answer = await (await desk.get("/api/gaps")).json()
    assert (answer["coordinator"], answer["note"]) == (COORDINATOR, "")
    assert answer["services"][0] == {
        "service": "chat",
        "model": "big",
        "level": "critical",
        "priority": 0,
        "wanted": 2,
        "providers": [],
        "starting": [],
        "reasons": ["no node holds model big"],
    }


async def test_a_service_is_declared_listed_and_removed(desk: Door) -> None:
    body = {"model": "big", "priority": 0, "min_replicas": 2, "gpu_memory": 14 * 2**30}
    status, declared = await change(desk, "PUT", CHAT, json=body)
    assert status == 200
    assert declared == {"name": "chat", "engine": "", "memory": 0, **body}
    listed = (await (await desk.get("/api/services")).json())["services"]
    assert [each["name"] for each in listed] == ["chat", "tags"]
    assert listed[0] == declared
    assert await change(desk, "DELETE", CHAT) == (200, {"removed": "chat"})
    status, error = await change(desk, "DELETE", CHAT)
    assert (status, error["error_code"]) == (404, "SERVICE_NOT_FOUND")


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (CHAT, {}, "model"),
        (CHAT, {"model": "m\n"}, "model"),
        (CHAT, {"model": "m", "priority": -1}, "priority"),
        (CHAT, {"model": "m", "min_replicas": 10_001}, "min_replicas"),
        (CHAT, {"model": "m", "memory": "1GiB"}, "memory"),
        (CHAT, {"model": "m", "colour": "red"}, "colour"),
        ("/api/services/a%20b", {"model": "m"}, "name"),
        ("/api/services/" + "n" * 65, {"model": "m"}, "name"),
    ],
)
async def test_wrong_declarations_are_refused(
    desk: Door, targets: ListedTargets, path: str, body: Any, param: str
) -> None:
    status, error = await change(desk, "PUT", path, json=body)
    assert (status, error["details"]["param"]) == (400, param)
    assert [each.name for each in await targets.list()] == ["tags"]


async def test_only_the_administrator_may_change_services(desk: Door) -> None:
    for method in ("PUT", "DELETE"):
        async with desk.session.request(method, desk.url + CHAT, json={"model": "m"}) as answer:
            assert answer.status == 403
            assert (await answer.json())["error_code"] == "ADMIN_REQUIRED"


async def test_what_coordinators_cannot_decide_is_said(desk: Door, targets: ListedTargets) -> None:
    targets.failure = NoQuorum("alone")
    status, error = await change(desk, "PUT", CHAT, json={"model": "m"})
    assert (status, error["error_code"]) == (503, "NO_QUORUM")
    targets.failure = TimeoutError()
    status, error = await change(desk, "PUT", CHAT, json={"model": "m"})
    assert (status, error["error_code"]) == (504, "UNDECIDED")


async def test_a_mesh_without_coordinators_says_so(open_door: Opener) -> None:
    services = ServiceHandlers(coverage=fixed_coverage, targets=None)
    door = await open_door(services=services)
    answer = await door.get("/api/services")
    assert answer.status == 503
    assert (await answer.json())["error_code"] == "NO_COORDINATOR"
