"""Real daemons that run nothing until a granted coordinator, here the test itself, assigns them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from coordinator.assignment.service import AssignmentService
from dht.directory import Directory
from mesh.capability import Role
from mesh.clock import SystemClock
from mesh.identity.boot import Boot
from mesh.identity.grants import encode_grant, issue_grant
from mesh.identity.keys import NodeKey, RootKey
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.links.pool import LinkPool
from mesh.links.reception import Introduction
from mesh.ports import StreamKind
from mesh.targets import ServiceTarget
from mesh.wire.assignment import Assign, Told, decode_answer, encode
from node.coverage import AssignmentDoor
from tests.integration.mesh.daemon import Daemon, Daemons, until, until_model

STORY = ServiceTarget("story", "demo")


@dataclass
class Leader:
    """A coordinator without engines, over real links."""

    node_id: NodeId
    links: LinkPool
    directory: Directory
    service: AssignmentService
    targets: list[ServiceTarget]

    async def meet(self, *daemons: Daemon) -> None:
        for daemon in daemons:
            await self.links.connect(NodeId(daemon.node_id), [f"tcp://{daemon.mesh}"])


@pytest.fixture
async def root(tmp_path: Path) -> RootKey:
    return RootKey.load_or_create(tmp_path / "mesh.key")


@pytest.fixture
async def leader(root: RootKey) -> AsyncIterator[Leader]:
    key, clock, tasks = NodeKey.generate(), SystemClock(), Tasks("leader")
    until_then = time.time() + 3600
    roles: tuple[Role, ...] = ("coordinator",)
    grant = issue_grant(
        root, mesh_id=root.mesh_id, node_id=key.node_id, roles=roles, not_after=until_then
    )
    links = LinkPool(
        key=key,
        mesh_id=root.mesh_id,
        boot=Boot(1, "ab" * 8),
        introduce=lambda: Introduction(roles, (encode_grant(grant),), links.addresses),
        listen=("127.0.0.1", 0),
    )
    await links.start()
    targets: list[ServiceTarget] = []
    directory = Directory(
        key=key,
        mesh_id=root.mesh_id,
        boot=1,
        links=links,
        clock=clock,
        tasks=tasks,
        rng=Random(1),
        on_change=lambda *_: service.wake(),
    )
    service = AssignmentService(
        own=key.node_id,
        links=links,
        targets=lambda: targets,
        nodes=lambda: [peer.record for peer in directory.view.peers()],
        leading=lambda: 1,
        obey_here=None,
        clock=clock,
        tasks=tasks,
    )
    links.serve(StreamKind.ASSIGNMENT, AssignmentDoor(obey=refuse, report=service.report).serve)
    directory.set_own(
        addresses=links.addresses, roles=roles, state="ready", models=(), version="test"
    )
    directory.start()
    service.start()
    yield Leader(key.node_id, links, directory, service, targets)
    await directory.close()
    await tasks.close()
    await links.close()


def refuse(assign: Assign) -> Told:
    raise AssertionError("nobody assigns the leader")


async def start(daemons: Daemons, root: RootKey, *arguments: str) -> Daemon:
    return await daemons.start("--network", f"{root.mesh_id}+open", "--engine", "none", *arguments)


async def test_a_declared_service_runs_on_one_node_and_moves_when_it_dies(
    daemons: Daemons, root: RootKey, leader: Leader
) -> None:
    nodes = [await start(daemons, root) for _ in range(2)]
    await leader.meet(*nodes)
    leader.targets.append(STORY)
    leader.service.wake()
    await until(lambda: serving(nodes))
    (first,) = await serving(nodes)
    other = next(node for node in nodes if node is not first)
    await first.kill()
    await until_model(other, "demo")


async def serving(nodes: list[Daemon]) -> list[Daemon]:
    """Those whose own catalog offers something."""
    return [node for node in nodes if (await node.get("/api/node"))["models"]]


async def test_what_a_node_cannot_cover_is_told_by_any_node(
    daemons: Daemons, root: RootKey, leader: Leader
) -> None:
    node = await start(daemons, root)
    await leader.meet(node)
    leader.targets += [STORY, ServiceTarget("big", "big-70b", memory=2**50)]

    async def told() -> bool:
        answer = await node.get("/api/gaps")
        return [each["level"] for each in answer["services"]] == ["critical", "ok"]

    leader.service.wake()
    await until(told)
    answer = await node.get("/api/gaps")
    assert answer["coordinator"] == leader.node_id
    first, second = answer["services"][0]["reasons"]
    assert first == "no node holds model big-70b"
    assert second.startswith("needs 1024 TiB of memory; the most is ")
    assert (await node.get("/api/node"))["assigned"] == [
        {"model": "demo", "state": "serving", "reason": ""}
    ]


async def test_an_owner_who_refuses_is_left_alone(
    daemons: Daemons, root: RootKey, leader: Leader
) -> None:
    node = await start(daemons, root, "--no-assign")
    await leader.meet(node)
    leader.targets.append(STORY)
    leader.service.wake()

    async def known() -> bool:
        return leader.directory.view.peer(NodeId(node.node_id)) is not None

    await until(known)
    link = leader.links.get(NodeId(node.node_id))
    assert link is not None
    message = encode(Assign(1, 1, (("demo", ""),)))
    told = decode_answer(await link.call(StreamKind.ASSIGNMENT, message, timeout=5.0))
    assert isinstance(told, Told)
    assert not told.accepted
    report = leader.service.report()
    assert report is not None
    assert report.services[0].reasons == ("no node holds model demo",)


async def test_without_a_coordinator_a_node_tells_what_it_sees(daemons: Daemons) -> None:
    node = await daemons.start("--engine", "demo")
    answer = await node.get("/api/gaps")
    assert answer["coordinator"] is None
    assert "no coordinator can be reached" in answer["note"]
    assert [(each["model"], each["level"]) for each in answer["services"]] == [("demo", "unknown")]
    assert (await node.get("/api/services"))["error_code"] == "NO_COORDINATOR"
