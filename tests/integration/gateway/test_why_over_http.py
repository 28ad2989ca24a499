"""GET /api/requests/{id}/why: who may ask, and what for."""

from __future__ import annotations

from coordinator.scheduling.policy import Decision
from coordinator.scheduling.trace import Traces
from mesh.ids import JobId
from mesh.ports import Principal, Request
from node.gateway.accounts import LocalAccounts, digest_key
from tests.integration.gateway.conftest import Opener
from tests.integration.gateway.twins import WORKER

FIRST, SECOND, ADMIN = "first-key", "second-key", "admin-token"


def tenant_of(key: str) -> str:
    return f"key-{digest_key(key)[:16]}"


def remembered() -> Traces:
    """One request of each key, both called "mine", and one under a name with a slash."""
    traces = Traces()
    for number, (key, name) in enumerate([(FIRST, "mine"), (SECOND, "mine"), (FIRST, "a/b")]):
        principal = Principal(tenant_of(key))
        job = JobId(f"{number:032x}")
        trace = traces.open(Request(job, principal, 10.0, request_id=name), f"m{number}", 0.0)
        trace.decided(0.1, Decision(()))
        trace.offered(0.2, WORKER, 1)
        trace.finished(0.3, WORKER)
    return traces


def key(text: str) -> dict[str, dict[str, str]]:
    return {"headers": {"authorization": f"Bearer {text}"}}


def accounts() -> LocalAccounts:
    digests = [digest_key(FIRST), digest_key(SECOND)]
    return LocalAccounts(access="keys", admin_token=ADMIN, key_digests=digests)


async def test_each_key_is_told_of_its_own_requests_only(open_door: Opener) -> None:
    door = await open_door(accounts=accounts(), traces=remembered())
    for asking, model in ((FIRST, "m0"), (SECOND, "m1")):
        response = await door.get("/api/requests/mine/why", **key(asking))
        assert response.status == 200
        assert (await response.json())["model"] == model
    foreign = await door.get(f"/api/requests/{0:032x}/why", **key(SECOND))
    unknown = await door.get("/api/requests/unheard-of/why", **key(SECOND))
    assert (foreign.status, unknown.status) == (404, 404)
    told = (await foreign.json())["error_code"], (await unknown.json())["error_code"]
    assert told == ("REQUEST_NOT_FOUND",) * 2
    assert (await door.get("/api/requests/mine/why")).status == 401


async def test_an_admin_sees_everybodys(open_door: Opener) -> None:
    door = await open_door(accounts=accounts(), traces=remembered())
    response = await door.get(f"/api/requests/{0:032x}/why", **key(ADMIN))
    assert (await response.json())["model"] == "m0"


async def test_an_id_may_hold_slashes(open_door: Opener) -> None:
    door = await open_door(accounts=accounts(), traces=remembered())
    for path in ("/api/requests/a%2Fb/why", "/api/requests/a/b/why"):
        response = await door.get(path, **key(FIRST))
        assert (await response.json())["request_id"] == "a/b"


async def test_who_asks_the_wrong_node_is_told_what_to_do(open_door: Opener) -> None:
    door = await open_door(traces=remembered())
    body = await (await door.get("/api/requests/unheard-of/why")).json()
    assert "ask the one that answered it" in body["error"]
    assert (await door.get("/api/requests/unheard-of")).status == 404
    assert (await door.get("/api/requests/unheard-of/what")).status == 404
    assert (await door.get("/api/requests//why")).status == 404


async def test_a_client_may_name_its_request_and_ask_by_that_name(open_door: Opener) -> None:
    door = await open_door()
    chat = {"model": "story", "messages": [{"role": "user", "content": "Hi"}]}
    await door.post("/v1/chat/completions", chat, headers={"x-request-id": "my-name"})
    assert door.dispatch.requests[0].request_id == "my-name"
