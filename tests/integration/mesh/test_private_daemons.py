"""Privacy classes between real daemons: who serves, who refuses, and what the asker is told."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp

from mesh.capability import Role
from mesh.identity.boot import Boot
from mesh.identity.charter import encode_charter, write_charter
from mesh.identity.keys import NodeKey, RootKey
from mesh.identity.mesh import mesh_of_network
from mesh.ids import JobId, NodeId
from mesh.jobs import JobSpec, Privacy, Sampling
from mesh.links.pool import LinkPool
from mesh.ports import StreamKind
from mesh.wire.jobs import Offer, Refuse, WorkerMessage, decode, encode_offer
from tests.integration.mesh.daemon import Daemon, Daemons, until_model
from tests.integration.mesh.resuming_client import hear

NETWORK = "private-requests"
DEMO = ("--engine", "demo", "--network", NETWORK)
HEADER = "x-electrons-privacy"
WORKER: tuple[Role, ...] = ("worker",)
HELLO = [{"role": "user", "content": "Hello"}]
DIALECTS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "demo", "messages": HELLO, "max_tokens": 2},
    "/v1/completions": {"model": "demo", "prompt": "Hello", "max_tokens": 2},
    "/text/generate": {"model": "demo", "prompt": "Hello", "max_tokens": 2},
    "/text/generate/stream": {"model": "demo", "prompt": "Hello", "max_tokens": 2},
}


def ids_of(folder: Path, count: int) -> list[NodeId]:
    """Keys made before their nodes start, so that settings can name them."""
    places = [folder / f"node-{number}" for number in range(count)]
    for place in places:
        place.mkdir(mode=0o700)
    return [NodeKey.load_or_create(place / "node.key").node_id for place in places]


async def ask(
    daemon: Daemon, privacy: str | None, path: str = "/v1/chat/completions"
) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Status, body and headers of one request."""
    headers = {} if privacy is None else {HEADER: privacy}
    async with (
        aiohttp.ClientSession() as session,
        session.post(daemon.http + path, json=DIALECTS[path], headers=headers) as answer,
    ):
        lowered = {name.lower(): value for name, value in answer.headers.items()}
        return answer.status, await answer.json(), lowered


async def served(daemon: Daemon) -> int:
    """Jobs that a daemon's host took since its start."""
    async with aiohttp.ClientSession() as session, session.get(f"{daemon.http}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return int(
        float(next(ln for ln in lines if ln.startswith("electrons_host_accepted_total"))[30:])
    )


async def test_own_requests_stay_with_nodes_that_list_each_other(
    daemons: Daemons, tmp_path: Path
) -> None:
    gateway_id, own_id, stranger_id = ids_of(tmp_path, 3)
    listing = ("--own-node", own_id, "--own-node", stranger_id, "--default-privacy", "own")
    gateway = await daemons.start("--engine", "none", "--network", NETWORK, *listing)
    own = await daemons.start(*DEMO, "--own-node", gateway_id, join=gateway)
    stranger = await daemons.start(*DEMO, join=gateway)  # it is listed, and does not list
    await until_model(gateway, "demo", nodes=2)
    for privacy in (None, "own", None, "own", "own"):
        status, _, headers = await ask(gateway, privacy)
        assert (status, headers["x-electrons-node"], headers[HEADER]) == (200, own_id, "own")
    assert await served(stranger) == 0
    why = await gateway.get(f"/api/requests/{headers['x-request-id']}/why")
    assert why["privacy"] == "own"
    assert "only for its owner's nodes" in why["summary"]
    status, _, headers = await ask(gateway, "public")
    assert (status, headers[HEADER]) == (200, "public")
    await own.stop()
    status, body, headers = await ask(gateway, None)
    assert status == 503
    assert "privacy class 'own'" in body["error"]["message"]
    why = await gateway.get(f"/api/requests/{headers['x-request-id']}/why")
    assert any(step.get("code") == "privacy" for step in why["steps"])
    assert await served(stranger) <= 1  # the public one


async def test_a_private_stream_is_never_continued_by_a_stranger(
    daemons: Daemons, tmp_path: Path
) -> None:
    gateway_id, own_id, _ = ids_of(tmp_path, 3)
    paced = (*DEMO, "--demo-rate", "40")
    listing = ("--own-node", own_id, "--default-privacy", "own")
    gateway = await daemons.start("--engine", "none", "--network", NETWORK, *listing)
    own = await daemons.start(*paced, "--own-node", gateway_id, join=gateway)
    stranger = await daemons.start(*paced, join=gateway)
    await until_model(gateway, "demo", nodes=2)

    async def kill(_: str) -> None:
        await own.kill()

    heard = await hear(gateway, after=5, do=kill, max_tokens=60)
    assert heard.node == own_id
    assert heard.error["code"] == "job_failed"
    assert not heard.done
    assert await served(stranger) == 0


async def test_trusted_requests_go_to_nodes_with_a_grant(daemons: Daemons, tmp_path: Path) -> None:
    root = RootKey.generate()
    ids = ids_of(tmp_path, 3)
    mesh = ("--network", f"{root.mesh_id}+open")
    until = time.time() + 3600
    grants = [
        encode_charter(write_charter(root, node, WORKER, until, founder=False)) for node in ids[:2]
    ]
    gateway = await daemons.start("--engine", "none", *mesh, "--grant", grants[0])
    member = await daemons.start("--engine", "demo", *mesh, "--grant", grants[1], join=gateway)
    stranger = await daemons.start("--engine", "demo", *mesh, join=gateway)
    await until_model(gateway, "demo", nodes=2)
    for _ in range(4):
        status, _, headers = await ask(gateway, "trusted")
        told = (status, headers["x-electrons-node"], headers[HEADER])
        assert told == (200, member.node_id, "trusted")
    assert await served(stranger) == 0
    await member.stop()
    status, body, _ = await ask(gateway, "trusted")
    assert status == 503
    assert "privacy class 'trusted'" in body["error"]["message"]
    assert await served(stranger) == 0


async def offer_to(links: LinkPool, worker: Daemon, privacy: Privacy) -> WorkerMessage:
    """What a worker answers to an offer that a lying gateway made by hand."""
    link = await links.connect(NodeId(worker.node_id), [f"tcp://{worker.mesh}"])
    job = JobSpec("chat", "demo", tuple(HELLO), sampling=Sampling(max_tokens=1), stream=True)
    job_id = JobId(secrets.token_hex(16))
    offer = Offer(job_id, 1, links.node_id, "t", privacy, 0, deadline=10.0, hops=1, job=job)
    stream = link.open(StreamKind.JOB)
    await stream.send(encode_offer(offer)[0])
    answer = await stream.receive()
    stream.reset()
    assert answer is not None
    return decode(answer)


async def test_a_lying_gateway_is_refused_by_the_worker(daemons: Daemons) -> None:
    worker = await daemons.start(*DEMO)
    mesh_id = mesh_of_network(NETWORK)
    key = NodeKey.generate()
    links = LinkPool(key=key, mesh_id=mesh_id, boot=Boot(1, "66" * 8), listen=("127.0.0.1", 0))
    await links.start()
    try:
        for privacy in ("own", "trusted"):
            answer = await offer_to(links, worker, privacy)
            assert isinstance(answer, Refuse)
            assert answer.code == "privacy"
        assert await served(worker) == 0
        assert not isinstance(await offer_to(links, worker, "public"), Refuse)
        assert await served(worker) == 1
    finally:
        await links.close()


async def test_an_unknown_class_is_a_bad_request_in_every_dialect(daemons: Daemons) -> None:
    gateway = await daemons.start(*DEMO)
    for path in DIALECTS:
        status, body, _ = await ask(gateway, "secret", path)
        assert status == 400
        error = body["error"]
        assert HEADER in (error["message"] if isinstance(error, dict) else error)
        assert isinstance(error, dict) == path.startswith("/v1")
    assert await served(gateway) == 0


def test_the_class_is_part_of_an_offer() -> None:
    """A planted fault, an offer that forgets its class, is no offer at all."""
    offer = Offer(
        JobId("0" * 32), 1, NodeId("ab" * 20), "t", "own", 0, 5.0, 1, JobSpec("chat", "m")
    )
    assert b"own" in encode_offer(offer)[0]
    assert b"privacy" in encode_offer(replace(offer, privacy="public"))[0]
