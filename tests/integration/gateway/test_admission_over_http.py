"""Tickets, members and the trail over HTTP: for administrators, and nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.admission import REFUSALS, AdmissionRefused
from mesh.ids import NodeId
from node.gateway.accounts import LocalAccounts
from node.gateway.admission_handlers import AdmissionHandlers
from tests.integration.gateway.conftest import Door, Opener
from tests.integration.gateway.listed_admissions import ListedAdmissions, PlainOffice

TOKEN = {"Authorization": "Bearer secret"}
NODE = NodeId("d" * 40)


@pytest.fixture
def listed() -> ListedAdmissions:
    return ListedAdmissions()


@pytest.fixture
async def desk(open_door: Opener, listed: ListedAdmissions) -> Door:
    return await open_door(
        accounts=LocalAccounts(admin_token="secret"),
        admission=AdmissionHandlers(PlainOffice(listed)),
    )


async def ask(desk: Door, method: str, path: str, **options: Any) -> tuple[int, Any]:
    options.setdefault("headers", TOKEN)
    async with desk.session.request(method, desk.url + path, **options) as answer:
        return answer.status, await answer.json()


async def test_a_ticket_is_written_listed_and_taken_back(desk: Door) -> None:
    body = {"roles": ["gateway", "worker"], "uses": 3, "seconds": 3600, "note": "lab"}
    status, fresh = await ask(desk, "POST", "/api/invites", json=body)
    assert status == 200 and fresh["ticket"].startswith("electrons-ticket-")
    assert (fresh["roles"], fresh["uses"], fresh["note"]) == (["gateway", "worker"], 3, "lab")
    assert "\N{FULL BLOCK}" in fresh["qr"]
    status, listed = await ask(desk, "GET", "/api/invites")
    assert [each["id"] for each in listed["invites"]] == [fresh["id"]]
    assert "ticket" not in listed["invites"][0] and "qr" not in listed["invites"][0]
    path = f"/api/invites/{fresh['id']}"
    assert await ask(desk, "DELETE", path) == (200, {"removed": fresh["id"]})
    status, error = await ask(desk, "DELETE", path)
    assert (status, error["error_code"]) == (404, "TICKET_NOT_FOUND")


async def test_without_a_body_it_is_one_worker_for_a_day(desk: Door) -> None:
    status, fresh = await ask(desk, "POST", "/api/invites")
    assert (status, fresh["roles"], fresh["uses"]) == (200, ["worker"], 1)


async def test_a_member_is_listed_revoked_and_in_the_trail(
    desk: Door, listed: ListedAdmissions
) -> None:
    listed.join(NODE)
    _, members = await ask(desk, "GET", "/api/members")
    assert [each["node_id"] for each in members["members"]] == [NODE]
    body = {"node_id": NODE, "reason": "stolen"}
    status, revoked = await ask(desk, "POST", "/api/revocations", json=body)
    assert (status, revoked["reason"]) == (200, "stolen")
    assert (await ask(desk, "GET", "/api/members"))[1] == {"members": []}
    _, found = await ask(desk, "GET", "/api/revocations")
    assert [each["node_id"] for each in found["revocations"]] == [NODE]
    _, trail = await ask(desk, "GET", "/api/audit?limit=1")
    assert [(row["number"], row["what"]) for row in trail["rows"]] == [(2, "revoked")]
    _, trail = await ask(desk, "GET", "/api/audit?after=2")
    assert trail == {"rows": []}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/invites"),
        ("POST", "/api/invites"),
        ("DELETE", "/api/invites/abcd"),
        ("GET", "/api/members"),
        ("GET", "/api/revocations"),
        ("POST", "/api/revocations"),
        ("GET", "/api/audit"),
    ],
)
async def test_only_the_administrator_may(desk: Door, method: str, path: str) -> None:
    status, error = await ask(desk, method, path, headers={})
    assert (status, error["error_code"]) == (403, "ADMIN_REQUIRED")


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/api/invites", {"roles": "worker"}, "roles"),
        ("/api/invites", {"roles": []}, "roles"),
        ("/api/invites", {"uses": 0}, "uses"),
        ("/api/invites", {"seconds": 31 * 86_400}, "seconds"),
        ("/api/invites", {"note": "x" * 121}, "note"),
        ("/api/invites", {"note": "\x1b[2J"}, "note"),
        ("/api/invites", {"colour": "red"}, "colour"),
        ("/api/revocations", {}, "node_id"),
        ("/api/revocations", {"node_id": "xyz"}, "node_id"),
    ],
)
async def test_a_wrong_request_names_the_field(
    desk: Door, path: str, body: dict[str, Any], param: str
) -> None:
    status, error = await ask(desk, "POST", path, json=body)
    assert status == 400 and param in str(error)


@pytest.mark.parametrize("query", ["after=-1", "limit=0", "limit=501", "limit=x", "more=1"])
async def test_a_wrong_page_is_refused(desk: Door, query: str) -> None:
    assert (await ask(desk, "GET", f"/api/audit?{query}"))[0] == 400


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("no_quorum", 503),
        ("not_yet", 503),
        ("no_coordinator", 503),
        ("undecided", 504),
        ("not_allowed", 403),
        ("full", 409),
        ("wrong", 400),
    ],
)
async def test_what_the_coordinators_refuse_is_told_in_words(
    desk: Door, listed: ListedAdmissions, code: Any, status: int
) -> None:
    listed.failure = AdmissionRefused(code)
    found, error = await ask(desk, "GET", "/api/members")
    assert found == status
    assert REFUSALS[code] in str(error)


async def test_admins_are_made_by_the_root_key_only(desk: Door) -> None:
    status, error = await ask(desk, "POST", "/api/invites", json={"roles": ["admin"]})
    assert status == 403 and "root key" in str(error)


async def test_a_mesh_without_a_root_key_has_no_tickets(open_door: Opener) -> None:
    desk = await open_door(
        accounts=LocalAccounts(admin_token="secret"), admission=AdmissionHandlers(None)
    )
    status, error = await ask(desk, "POST", "/api/invites")
    assert (status, error["error_code"]) == (503, "NO_COORDINATOR")
