"""Who gets in, on which routes, and how refusals read."""

from __future__ import annotations

import asyncio

import pytest

from mesh.jobs import Chunk, Finish, Usage
from node.gateway.accounts import LocalAccounts, digest_key
from node.gateway.settings import GatewaySettings, Health
from tests.integration.gateway.conftest import Door, Opener
from tests.integration.gateway.twins import HELLO, NODE, WORKER

CHAT = {"model": "story", "messages": [{"role": "user", "content": "Hi"}]}


async def test_models_are_the_meshs_own_and_the_aliases(door: Door) -> None:
    body = await (await door.get("/v1/models")).json()
    models = {model["id"]: model for model in body["data"]}
    assert set(models) == {"demo", "story", "org/big:7b", "auto"}
    assert models["demo"]["description"] == "It knows nothing."
    assert models["org/big:7b"]["context"] == 4096
    assert models["story"]["nodes"] == 1
    assert all(model["object"] == "model" for model in models.values())
    assert isinstance(models["demo"]["created"], int)
    assert models["demo"]["owned_by"] == "electrons"


@pytest.mark.parametrize("path", ["/v1/models/org/big:7b", "/v1/models/org%2Fbig%3A7b"])
async def test_a_model_id_may_hold_slashes(door: Door, path: str) -> None:
    response = await door.session.get(f"{door.url}{path}")
    assert response.status == 200
    assert (await response.json())["id"] == "org/big:7b"


async def test_an_unknown_model_is_404(door: Door) -> None:
    response = await door.get("/v1/models/nope")
    assert response.status == 404
    assert (await response.json())["error"]["code"] == "model_not_found"


async def test_the_node_routes(door: Door) -> None:
    node = await (await door.get("/api/node")).json()
    assert (node["node_id"], node["in_flight"]) == (NODE, 4)
    assert node["gateway"]["in_flight"] == 1
    peers = (await (await door.get("/api/peers")).json())["peers"]
    assert peers[0]["node_id"] == WORKER
    assert peers[0]["rtt_ms"] == 12.3
    assert peers[0]["models"] == ["story", "org/big:7b"]
    assert peers[0]["state"] == "ready"
    models = (await (await door.get("/api/models")).json())["models"]
    assert [provider["own"] for provider in models[0]["providers"]] == [True]


async def test_health_says_whether_to_send_work_here(door: Door) -> None:
    response = await door.get("/health")
    assert response.status == 200
    assert (await response.json())["state"] == "joined"
    door.health[0] = Health(ready=False, state="isolated", reason="no peer answers")
    response = await door.get("/health")
    body = await response.json()
    assert response.status == 503
    assert (body["live"], body["ready"], body["state"]) == (True, False, "isolated")
    for path in ("/health?live", "/health?live=1", "/health/live"):
        assert (await door.get(path)).status == 200


async def test_metrics_count_what_happened(door: Door) -> None:
    await door.post("/v1/chat/completions", CHAT)
    await door.get("/nope")
    response = await door.get("/metrics")
    text = await response.text()
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'http_requests_total{route="/v1/chat/completions",status="200"} 1' in text
    assert 'http_requests_total{route="refused",status="404"} 1' in text
    assert "electrons_completion_tokens_total 2" in text
    assert "electrons_time_to_first_token_seconds_count 1" in text
    assert "# TYPE electrons_offers_total counter\nelectrons_offers_total 7" in text
    assert "# TYPE electrons_links_open gauge\nelectrons_links_open 1" in text


@pytest.mark.parametrize("path", ["/v1/nope", "/nope"])
async def test_an_unknown_route_is_404_in_the_shape_of_its_family(door: Door, path: str) -> None:
    response = await door.get(path, headers={"x-request-id": "abc"})
    body = await response.json()
    assert response.status == 404
    if path.startswith("/v1"):
        assert body["error"]["code"] == "not_found"
    else:
        assert body["error_code"] == "ROUTE_NOT_FOUND"
        assert body["request_id"] == "abc"


async def test_a_wrong_method_is_405_and_says_which_are_right(door: Door) -> None:
    response = await door.get("/v1/chat/completions")
    assert response.status == 405
    assert response.headers["allow"] == "OPTIONS, POST"
    response = await door.post("/v1/models/org/big:7b", {})
    assert response.headers["allow"] == "GET, HEAD, OPTIONS"


async def test_head_is_get_without_the_body(door: Door) -> None:
    response = await door.session.head(f"{door.url}/v1/models")
    assert response.status == 200
    assert int(response.headers["content-length"]) > 100
    assert await response.read() == b""


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "", "127.0.0.1.evil.example"])
async def test_on_loopback_only_loopback_names_are_answered(door: Door, host: str) -> None:
    response = await door.get("/v1/models", headers={"Host": host})
    assert response.status == 421
    assert "localhost" in (await response.json())["error"]["message"]


@pytest.mark.parametrize("host", ["localhost:1", "LOCALHOST", "[::1]:9", "127.1.2.3"])
async def test_loopback_names_are_answered(door: Door, host: str) -> None:
    assert (await door.get("/v1/models", headers={"Host": host})).status == 200


async def test_a_configured_host_name_is_answered(open_door: Opener) -> None:
    door = await open_door(GatewaySettings(allowed_hosts=("mesh.example",)))
    assert (await door.get("/v1/models", headers={"Host": "mesh.example:8"})).status == 200


async def test_pages_of_other_origins_are_kept_out(door: Door) -> None:
    response = await door.post("/v1/chat/completions", CHAT, headers={"Origin": "https://x.test"})
    assert response.status == 403
    assert "access-control-allow-origin" not in response.headers
    assert not door.dispatch.jobs
    own = await door.post("/v1/chat/completions", CHAT, headers={"Origin": door.url})
    assert own.status == 200


async def test_configured_origins_get_cors(open_door: Opener) -> None:
    door = await open_door(GatewaySettings(allowed_origins=("https://ui.test",)))
    headers = {"Origin": "https://ui.test"}
    preflight = await door.session.options(f"{door.url}/v1/models", headers=headers)
    assert preflight.status == 204
    assert preflight.headers["access-control-allow-origin"] == "https://ui.test"
    assert "authorization" in preflight.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in preflight.headers
    response = await door.post("/v1/chat/completions", CHAT, headers=headers)
    assert response.headers["access-control-allow-origin"] == "https://ui.test"
    assert "Origin" in response.headers["vary"]


async def test_keys_are_asked_for_on_every_route_but_the_open_ones(open_door: Opener) -> None:
    accounts = LocalAccounts(
        access="keys", admin_token="the-owner", key_digests=[f"sha256:{digest_key('sk-good')}"]
    )
    door = await open_door(accounts=accounts)
    for path in ("/v1/models", "/health", "/metrics", "/api/node", "/api/peers", "/openapi.json"):
        refused = await door.get(path)
        assert refused.status == 401, path
        assert refused.headers["www-authenticate"] == "Bearer"
        for key in ("sk-good", "the-owner"):
            given = await door.get(path, headers={"Authorization": f"Bearer {key}"})
            assert given.status == 200, path
    assert (await door.get("/v1/models", headers={"x-api-key": "sk-good"})).status == 200
    assert (await door.get("/v1/models", headers={"x-api-key": "sk-bad"})).status == 401
    assert (await door.get("/health/live")).status == 200
    assert (await door.get("/")).status == 200


async def test_each_key_is_a_tenant_of_its_own(open_door: Opener) -> None:
    digests = [digest_key("one"), digest_key("two")]
    door = await open_door(accounts=LocalAccounts(access="keys", key_digests=digests))
    for key in ("one", "two"):
        await door.post("/v1/chat/completions", CHAT, headers={"x-api-key": key})
    tenants = {request.principal.tenant for request in door.dispatch.requests}
    assert len(tenants) == 2


async def test_any_key_works_in_open_mode(open_door: Opener) -> None:
    door = await open_door(accounts=LocalAccounts(access="open"))
    for headers in ({}, {"Authorization": "Bearer whatever"}):
        assert (await door.post("/v1/chat/completions", CHAT, headers=headers)).status == 200


async def test_who_comes_through_a_proxy_is_not_local(door: Door) -> None:
    response = await door.get("/v1/models", headers={"X-Forwarded-For": "203.0.113.9"})
    assert response.status == 401


async def test_bound_elsewhere_host_names_are_free(open_door: Opener) -> None:
    door = await open_door(accounts=LocalAccounts(access="open"), host="0.0.0.0")
    assert (await door.get("/v1/models", headers={"Host": "mesh.example"})).status == 200


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/text/generate"])
async def test_a_caller_may_say_who_runs_it(door: Door, path: str) -> None:
    ask = {**CHAT, "prompt": "hi"}
    await door.post(path, ask)
    await door.post(path, ask, headers={"X-Electrons-Privacy": "own"})
    assert [request.privacy for request in door.dispatch.requests] == ["public", "own"]
    wrong = await door.post(path, ask, headers={"X-Electrons-Privacy": "secret"})
    assert wrong.status == 400
    assert "x-electrons-privacy" in await wrong.text()
    assert len(door.dispatch.requests) == 2


async def test_text_generate_has_the_originals_shape(door: Door) -> None:
    response = await door.post(
        "/text/generate",
        {
            "prompt": "hi",
            "model": "story",
            "options": {"temperature": 0, "max_tokens": 0, "system_prompt": "Be brief.", "x": 1},
        },
        headers={"X-Request-ID": "mine"},
    )
    body = await response.json()
    assert response.status == 200
    assert (body["success"], body["text"], body["request_id"]) == (True, "Hello there", "mine")
    assert body["metadata"]["tokens_used"] == 2
    assert body["metadata"]["model"] == "story"
    assert body["metadata"]["provider"] == "demo"
    assert body["metadata"]["generation_time_ms"] >= 0
    assert body["timestamp"].endswith("Z")
    job = door.dispatch.jobs[0]
    assert (job.sampling.temperature, job.sampling.max_tokens) == (0.0, 0)
    assert job.messages[0] == {"role": "system", "content": "Be brief."}
    assert job.extra == {"x": 1}


@pytest.mark.parametrize("path", ["/text/generate/stream", "/generate/stream"])
async def test_text_stream_has_one_terminator(door: Door, path: str) -> None:
    response = await door.post(path, {"prompt": "hi"}, headers={"X-Request-ID": "mine"})
    lines = [
        line.removeprefix("data: ")
        for line in (await response.text()).split("\n")
        if line.startswith("data: ")
    ]
    assert lines == [
        '{"text":"Hello","done":false,"request_id":"mine"}',
        '{"text":" there","done":false,"request_id":"mine"}',
        '{"text":"","done":true,"request_id":"mine"}',
    ]
    assert door.dispatch.jobs[0].model == "auto"


async def test_text_stream_failure_is_the_last_event(door: Door) -> None:
    door.dispatch.play([HELLO[0], RuntimeError("boom")])
    response = await door.post("/text/generate/stream", {"prompt": "hi"})
    last = (await response.text()).rstrip().rsplit("\n\n", 1)[-1]
    assert '"error":"Stream error"' in last
    assert '"done":true' in last


async def test_text_errors_have_the_originals_shape(door: Door) -> None:
    for body, code in ((b"not json", "INVALID_JSON"), (b"{}", "INVALID_REQUEST")):
        response = await door.session.post(
            f"{door.url}/generate", data=body, headers={"X-Request-ID": "mine"}
        )
        answer = await response.json()
        assert response.status == 400
        assert answer["error_code"] == code
        assert answer["request_id"] == "mine"
        assert isinstance(answer["error"], str)


async def test_json_is_found_in_a_fence_and_compacted(door: Door) -> None:
    reply = 'Here:\n```json\n{"name": "test"}\n```\nDone.'
    door.dispatch.play([Chunk(reply), Finish(("stop",), Usage(1, 9))])
    body = await (await door.post("/text/generate", {"prompt": "x", "expect_json": True})).json()
    assert body["text"] == '{"name":"test"}'
    assert body["metadata"]["json_qa"] == {"validated": True, "attempts": 1, "repaired": False}


async def test_json_that_never_comes_is_422_after_all_attempts(door: Door) -> None:
    door.dispatch.play([Chunk("nope"), Finish(("stop",), Usage(1, 1))])
    ask = {"prompt": "x", "expect_json": True, "json_max_retries": 1}
    response = await door.post("/text/generate", ask)
    body = await response.json()
    assert response.status == 422
    assert body["error_code"] == "JSON_VALIDATION_FAILED"
    assert body["details"]["attempts"] == 2
    assert body["details"]["preview"] == "nope"
    assert len(door.dispatch.jobs) == 2
    assert "not valid JSON" in door.dispatch.jobs[1].messages[-1]["content"]


async def test_json_is_right_at_the_second_attempt(door: Door) -> None:
    bad = [Chunk("nope"), Finish(("stop",), Usage(1, 2))]
    good = [Chunk("[1, 2,]"), Finish(("stop",), Usage(1, 3))]
    door.dispatch.play(bad, good)
    body = await (await door.post("/text/generate", {"prompt": "x", "expect_json": True})).json()
    assert body["text"] == "[1,2]"
    assert body["metadata"]["json_qa"] == {"validated": True, "attempts": 2, "repaired": True}
    assert body["metadata"]["tokens_used"] == 5


async def test_a_gateway_that_is_stopping_refuses_and_lets_running_work_end(
    open_door: Opener,
) -> None:
    door = await open_door()
    release = asyncio.Event()
    door.dispatch.play([HELLO[0], release.wait, *HELLO[1:]])
    response = await door.post("/v1/chat/completions", {**CHAT, "stream": True})
    closing = asyncio.ensure_future(door.gateway.close(5.0))
    await asyncio.sleep(0)
    release.set()
    assert (await response.text()).endswith("data: [DONE]\n\n")
    await closing
