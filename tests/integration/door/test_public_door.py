"""A node that nobody can dial answers under a public https name."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.integration.door.doorway_mesh import DOMAIN, KEY, WITH_KEY, DoorMesh, kept
from tests.integration.door.recorder import Recorder
from tests.integration.door.visitor import visitor

CANARY = "canary-7f3a91-in-a-coal-mine"
CHAT = {
    "model": "demo",
    "stream": True,
    "max_tokens": 12,
    "messages": [{"role": "user", "content": CANARY}],
}


async def chunked() -> AsyncIterator[bytes]:
    """A body of unknown length, which is for the gateway's full server."""
    yield b'{"prompt": "Hello", "max_tokens": 2}'


async def test_a_chat_streams_through_the_door_to_who_knows_the_certificate(mesh: DoorMesh) -> None:
    keeper = await mesh.keeper()
    node = await (await mesh.behind(keeper, "--public-name", "alice")).open()
    assert node.url.startswith(f"https://alice.{DOMAIN}:")
    async with visitor(node.fingerprint) as outside:
        async with outside.get(f"{node.url}/health", headers=WITH_KEY) as answer:
            assert answer.status == 200
        async with outside.post(
            f"{node.url}/v1/chat/completions", json=CHAT, headers=WITH_KEY
        ) as answer:
            assert answer.status == 200
            events = [line async for line in answer.content if line.startswith(b"data: ")]
    assert events[-1] == b"data: [DONE]\n"
    assert len(events) > 3, "streamed, however chunks were put together on the way"
    assert json.loads(events[0][6:])["object"] == "chat.completion.chunk"
    assert (await kept(keeper))["names"] == 1
    async with visitor("00:" * 31 + "00") as outside:
        with pytest.raises(aiohttp.ServerFingerprintMismatch):
            await outside.get(f"{node.url}/health")


async def test_who_comes_through_the_door_is_a_stranger(mesh: DoorMesh) -> None:
    keeper = await mesh.keeper()
    node = await (await mesh.behind(keeper)).open()
    token = json.loads((node.daemon.log.parent / "node-1" / "run.json").read_text())["token"]
    label = node.daemon.node_id[:16]
    assert urlsplit(node.url).hostname == f"{label}.{DOMAIN}", "where no other is wanted"
    status, body = await node.visit("/v1/models", key=False)
    assert (status, body["error"]["code"]) == (401, "invalid_api_key")
    assert (await node.visit("/health/live", key=False))[0] == 200
    assert (await node.visit("/mesh"))[0] == 404, "links are for nodes, which have other ways"
    wrong = {"host": "localhost", **WITH_KEY}
    async with visitor(node.fingerprint) as outside:
        async with outside.get(f"{node.url}/health", headers=wrong) as answer:
            assert answer.status == 421
        for headers, status in ((wrong, 421), ({}, 401), (WITH_KEY, 200)):
            async with outside.post(
                f"{node.url}/generate", data=chunked(), headers=headers
            ) as answer:
                assert answer.status == status, "the full server tells them apart as well"
        admin = {"authorization": f"Bearer {token}"}
        async with outside.post(f"{node.url}/api/node/pause", headers=admin) as answer:
            assert answer.status == 403
        async with outside.get(f"{node.url}/api/node", headers=admin) as answer:
            availability = (await answer.json())["availability"]
    assert availability["open"]
    url = f"{node.daemon.http}/api/node/pause"
    async with aiohttp.ClientSession(headers=admin) as local, local.post(url) as answer:
        assert answer.status == 200, "on the machine itself the same token does it"


async def test_nothing_readable_passes_the_keeper(mesh: DoorMesh) -> None:
    keeper = await mesh.keeper()
    mesh_port = int(keeper.mesh.rpartition(":")[2])
    async with Recorder(mesh_port) as inside, Recorder((await kept(keeper))["port"]) as outside:
        keeper.mesh = f"127.0.0.1:{inside.port}"
        node = await (await mesh.behind(keeper, "--public-name", "alice")).open()
        url = f"https://alice.{DOMAIN}:{outside.port}/v1/chat/completions"
        async with (
            visitor(node.fingerprint) as client,
            client.post(url, json=CHAT, headers=WITH_KEY) as answer,
        ):
            text = await answer.read()
        assert answer.status == 200
        assert b"[DONE]" in text
        passed = (bytes(inside.passed), bytes(outside.passed))
    for seen in passed:
        assert len(seen) > len(text), "what was recorded is not all that passed"
        for secret in (CANARY, KEY, "chat.completion", "[DONE]", "/v1/chat"):
            assert secret.encode() not in seen
    assert f"alice.{DOMAIN}".encode() in passed[1], "the name is what a keeper does read"


async def test_the_recorder_finds_what_is_not_sealed(mesh: DoorMesh) -> None:
    """The search above would find the canary if it were there."""
    node = await mesh.daemons.start()
    async with Recorder(int(node.http.rpartition(":")[2])) as wire, aiohttp.ClientSession() as out:
        async with out.post(
            f"http://127.0.0.1:{wire.port}/v1/chat/completions", json=CHAT
        ) as answer:
            await answer.read()
        seen = bytes(wire.passed)
    assert CANARY.encode() in seen
    assert b"[DONE]" in seen
