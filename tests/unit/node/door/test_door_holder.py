"""A node that wants a name asks those it may, and is sent for by nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from mesh.capability import NodeRecord, Peer, Role
from mesh.errors import DialError, StorageError, WireError
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.links.memory import MemoryLinks, MemoryNetwork
from mesh.links.pipe import Pipe
from mesh.ports import Link, Stream, StreamKind
from mesh.wire import door as wire
from node.door.certificate import DoorCertificate, own_certificate
from node.door.holder import DoorHolder, checked_name, plain_source

NAME = "alice.mesh.example"


class Keeper:
    """Answers Register as told, and notes the labels."""

    def __init__(self, links: MemoryLinks, answer: wire.Answer) -> None:
        self.links = links
        self.answer = answer
        self.labels: list[str] = []
        links.serve(StreamKind.DOOR, self._serve)

    async def _serve(self, link: Link, stream: Stream) -> None:
        data = await stream.receive()
        assert data is not None
        request = wire.decode_request(data)
        assert isinstance(request, wire.Register)
        self.labels.append(request.label)
        await stream.send(wire.encode_answer(self.answer))
        stream.finish()


class Scene:
    """A network in memory with one node that wants a name."""

    def __init__(self, folder: Path) -> None:
        self.network = MemoryNetwork()
        self.links = self.network.join()
        self.tasks = Tasks("test")
        self.peers: list[Peer] = []
        self.folder = folder
        self.faults = False
        self.dialled: list[bytes] = []

    def keeper(self, *roles: Role, answer: wire.Answer | None = None) -> Keeper:
        links = self.network.join(roles=roles)
        record = NodeRecord(links.node_id, 1, 0.0, 60.0, links.addresses, tuple(roles))
        self.peers.append(Peer(record))
        return Keeper(links, answer or wire.Registered(NAME, 443))

    def holder(self, choice: str, *, founded: bool = True) -> DoorHolder:
        holder = DoorHolder(
            choice="auto" if choice == "auto" else NodeId(choice),
            label="alice",
            founded=founded,
            links=self.links,
            peers=self._peers,
            open_pipe=self._open_pipe,
            certify=self._certify,
            take=lambda transport: None,
            tasks=self.tasks,
            rng=Random(1),
        )
        holder.start()
        return holder

    def _peers(self) -> Sequence[Peer]:
        return self.peers

    async def _open_pipe(self, link: Link, token: bytes) -> Pipe:
        self.dialled.append(token)
        raise DialError("this test has no pipes")

    def _certify(self, name: str) -> DoorCertificate:
        if self.faults:
            raise StorageError("the disk is full")
        return own_certificate(self.folder, name, datetime.now(UTC))


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    await scene.tasks.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_relay_that_gives_a_name_is_used(scene: Scene) -> None:
    scene.keeper("worker")
    keeper = scene.keeper("relay")
    holder = scene.holder("auto")
    await until(lambda: holder.held)
    assert holder.held is not None
    assert (holder.held.url, holder.reason) == (f"https://{NAME}", "")
    assert holder.held.keeper == keeper.links.node_id
    assert set(keeper.labels) == {"alice"}


async def test_one_that_refuses_is_passed_over(scene: Scene) -> None:
    scene.keeper("relay", answer=wire.Refused("this node keeps no door"))
    keeper = scene.keeper("relay")
    holder = scene.holder("auto")
    await until(lambda: holder.held)
    assert holder.held is not None
    assert holder.held.keeper == keeper.links.node_id


async def test_a_named_keeper_needs_the_role_in_a_founded_mesh_only(scene: Scene) -> None:
    keeper = scene.keeper("worker")
    refused = scene.holder(keeper.links.node_id)
    await until(lambda: "was not granted the role relay" in refused.reason)
    assert keeper.labels == []
    taken = scene.holder(keeper.links.node_id, founded=False)
    await until(lambda: taken.held)


@pytest.mark.parametrize(
    "answer",
    [wire.Accepted(), wire.Registered("evil.example/x", 443), wire.Registered("Bad Name", 443)],
    ids=["another answer", "a path", "a space"],
)
async def test_a_keeper_that_answers_nonsense_is_not_believed(
    scene: Scene, answer: wire.Answer
) -> None:
    scene.keeper("relay", answer=answer)
    holder = scene.holder("auto")
    await until(lambda: "looking" not in holder.reason)
    assert holder.held is None


async def test_only_the_keeper_sends_visitors_and_only_for_the_name(scene: Scene) -> None:
    keeper, other = scene.keeper("relay"), scene.network.join(roles=["relay"])
    holder = scene.holder("auto")
    await until(lambda: holder.held)
    token = b"t" * 16
    link = scene.links.get(keeper.links.node_id)
    stranger = await scene.links.connect(other.node_id, other.addresses)
    assert link is not None
    for sender, name in ((stranger, NAME), (link, "bob.mesh.example")):
        assert isinstance(holder.come(sender, wire.Incoming(token, name, "::1")), wire.Refused)
    assert scene.dialled == []
    assert holder.come(link, wire.Incoming(token, NAME, "203.0.113.7")) == wire.Accepted()
    await until(lambda: scene.dialled == [token])
    assert holder.connections == 0


async def test_a_lost_keeper_is_asked_again_when_it_is_back(scene: Scene) -> None:
    keeper = scene.keeper("relay")
    holder = scene.holder("auto")
    await until(lambda: holder.held)
    scene.network.crash(keeper.links.node_id)
    await until(lambda: holder.held is None)
    assert holder.reason
    scene.peers.clear()
    scene.keeper("relay")
    await until(lambda: holder.held)


async def test_a_certificate_that_cannot_be_kept_closes_the_door(scene: Scene) -> None:
    scene.faults = True
    scene.keeper("relay")
    holder = scene.holder("auto")
    await until(lambda: "the disk is full" in holder.reason)
    assert holder.held is None
    scene.faults = False
    await until(lambda: holder.held)


@pytest.mark.parametrize("name", ["", ".", "a..b", "a b", "A.b", "ä.b", "a/b", "a" * 64, "a:443"])
def test_what_is_no_host_name_is_refused(name: str) -> None:
    with pytest.raises(WireError):
        checked_name(name)


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("fe80::1%eth0", "fe80::1"),
        ("127.0.0.1\r\nx", "unknown"),
        ("", "unknown"),
    ],
)
def test_a_visitors_address_is_an_address(told: str, kept: str) -> None:
    assert plain_source(told) == kept
