"""The owner's word over HTTP: who may say it, what is refused, and what is answered."""

from __future__ import annotations

from typing import Any

import pytest

from node.gateway.accounts import LocalAccounts
from node.gateway.owner_handlers import OwnerHandlers
from tests.integration.gateway.conftest import Door, Opener
from tests.integration.gateway.owned_node import OwnedNode

ADMIN = {"Authorization": "Bearer secret"}
PAUSE, RESUME, LIMITS = "/api/node/pause", "/api/node/resume", "/api/node/limits"


@pytest.fixture
def owned() -> OwnedNode:
    return OwnedNode()


@pytest.fixture
async def door(open_door: Opener, owned: OwnedNode) -> Door:
    return await open_door(accounts=LocalAccounts(admin_token="secret"), owner=OwnerHandlers(owned))


async def change(door: Door, method: str, path: str, **options: Any) -> tuple[int, Any]:
    url = door.url + path
    async with door.session.request(method, url, headers=ADMIN, **options) as answer:
        return answer.status, await answer.json()


async def test_pause_and_resume_say_how_things_stand(door: Door, owned: OwnedNode) -> None:
    paused = {"open": False, "reason": "paused by its owner", "until": None}
    assert await change(door, "POST", PAUSE) == (200, paused)
    assert await change(door, "POST", PAUSE, json={}) == (200, paused)
    for_a_minute = {**paused, "until": "2026-09-21T14:14:20+00:00"}
    assert await change(door, "POST", PAUSE, json={"seconds": 60}) == (200, for_a_minute)
    assert owned.asked == [None, None, 60.0]
    assert await change(door, "POST", RESUME) == (200, {"open": True, "reason": "", "until": None})


async def test_limits_are_shown_and_changed(door: Door) -> None:
    configured = {"slots": 4, "memory": None, "gpu_memory": None}
    assert await (await door.get(LIMITS)).json() == configured
    status, answer = await change(door, "PUT", LIMITS, json={"slots": 1, "gpu_memory": 2**33})
    assert (status, answer) == (200, {"slots": 1, "memory": None, "gpu_memory": 2**33})
    assert await change(door, "PUT", LIMITS, json={"slots": None}) == (200, configured)


@pytest.mark.parametrize(("method", "path"), [("POST", PAUSE), ("POST", RESUME), ("PUT", LIMITS)])
async def test_only_the_admin_may_change_anything(
    door: Door, owned: OwnedNode, method: str, path: str
) -> None:
    async with door.session.request(method, door.url + path, json={}) as answer:
        assert answer.status == 403
    assert owned.asked == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", PAUSE, {"seconds": 0}),
        ("POST", PAUSE, {"seconds": 1e12}),
        ("POST", PAUSE, {"seconds": True}),
        ("POST", PAUSE, {"seconds": "60"}),
        ("POST", PAUSE, {"minutes": 1}),
        ("PUT", LIMITS, {"slots": 0}),
        ("PUT", LIMITS, {"slots": 1.5}),
        ("PUT", LIMITS, {"slots": True}),
        ("PUT", LIMITS, {"memory": 1}),
        ("PUT", LIMITS, {"gpu_memory": 2**60}),
        ("PUT", LIMITS, {"heat": 3}),
        ("PUT", LIMITS, []),
    ],
)
async def test_wrong_values_are_refused_and_change_nothing(
    door: Door, owned: OwnedNode, method: str, path: str, body: Any
) -> None:
    status, error = await change(door, method, path, json=body)
    assert (status, error["error_code"]) == (400, "INVALID_REQUEST")
    assert owned.availability.open
    assert owned.limits.slots == 4


async def test_a_full_disk_is_said_without_its_path(door: Door, owned: OwnedNode) -> None:
    owned.full = True
    for method, path in (("POST", PAUSE), ("POST", RESUME), ("PUT", LIMITS)):
        status, error = await change(door, method, path, json={})
        assert (status, error["error_code"]) == (500, "NOT_SAVED")
        assert "secret" not in str(error)
