"""Visitors are joined to the name's holder, or sent away in time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from mesh.clock import SystemClock
from mesh.errors import ConfigError
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.links.memory import MemoryNetwork
from mesh.links.pipe import Address, Pipe
from mesh.links.rendezvous import Rendezvous
from mesh.links.tcp import dial_tcp, listen_tcp
from mesh.ports import Link, Stream, StreamKind
from mesh.wire import door as wire
from node.door.keeper import DoorKeeper, DoorTerms
from tests.fakes.tls_client import MemoryClient

PATIENCE = 10.0


class Scene:
    """A keeper on a real port, and a holder that is linked to it in memory."""

    def __init__(self, *, rendezvous_seconds: float = 5.0) -> None:
        network = MemoryNetwork()
        self.links, self.node = network.join(), network.join()
        self.network = network
        self.tasks = Tasks("test")
        self.rendezvous = Rendezvous(seconds=rendezvous_seconds)
        self.refusal = ""
        self.keeper = DoorKeeper(
            DoorTerms("127.0.0.1", 0, "mesh.example"),
            links=self.links,
            rendezvous=self.rendezvous,
            may_hold=lambda link: self.refusal,
            source_of=lambda link: link.peer,
            clock=SystemClock(),
            tasks=self.tasks,
        )
        self.asked: list[wire.Incoming] = []
        self.answer: wire.Answer = wire.Accepted()
        self.node.serve(StreamKind.DOOR, self._serve)
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        await self.keeper.start()
        await self.node.connect(self.links.node_id, self.links.addresses)
        await until(lambda: self.links.get(self.node.node_id) is not None)

    async def close(self) -> None:
        self.keeper.close()
        if self._server is not None:
            self._server.close()
        await self.tasks.close()

    def register(self, label: str = "", node: NodeId | None = None) -> wire.Answer:
        link = self.links.get(node or self.node.node_id)
        assert link is not None
        return self.keeper.register(link, wire.Register(label))

    async def bring(self, token: bytes) -> Pipe:
        """The holder's end of a pipe that comes to the keeper with a token."""

        def accepted(pipe: Pipe) -> None:
            if not self.rendezvous.bring(token, pipe, b""):
                pipe.abort()

        self._server = await listen_tcp("127.0.0.1", 0, accepted)
        port = self._server.sockets[0].getsockname()[1]
        return await dial_tcp(Address("tcp", "127.0.0.1", port))

    async def _serve(self, link: Link, stream: Stream) -> None:
        data = await stream.receive()
        assert data is not None
        request = wire.decode_request(data)
        assert isinstance(request, wire.Incoming)
        self.asked.append(request)
        await stream.send(wire.encode_answer(self.answer))
        stream.finish()


class Kept:
    """Keeps what a pipe brings."""

    def __init__(self) -> None:
        self.data = b""
        self.lost = False

    def data_received(self, data: bytes) -> None:
        self.data += data

    def pipe_lost(self, reason: str) -> None:
        self.lost = True

    def pause_writing(self) -> None:
        """Little is written."""

    def resume_writing(self) -> None:
        """Little is written."""


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with opened(Scene()) as scene:
        yield scene


@asynccontextmanager
async def opened(scene: Scene) -> AsyncIterator[Scene]:
    await scene.open()
    yield scene
    await scene.close()


@asynccontextmanager
async def visit(
    scene: Scene, data: bytes
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", scene.keeper.port)
    writer.write(data)
    yield reader, writer
    writer.transport.abort()


def hello(label: str) -> bytes:
    return MemoryClient(f"{label}.mesh.example").shake()


async def rest(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(PATIENCE):
        return await reader.read()


async def test_what_a_visitor_says_reaches_the_holder_and_back(scene: Scene) -> None:
    answer = scene.register("alice")
    assert answer == wire.Registered("alice.mesh.example", scene.keeper.port)
    said = hello("alice")
    async with visit(scene, said) as (reader, writer):
        await until(lambda: scene.asked)
        asked = scene.asked[0]
        assert (asked.name, asked.source) == ("alice.mesh.example", "127.0.0.1")
        kept = Kept()
        pipe = await scene.bring(asked.token)
        pipe.attach(kept)
        await until(lambda: kept.data == said)
        assert (scene.keeper.connections, scene.keeper.waiting) == (1, 0)
        pipe.write(b"answer")
        assert await reader.readexactly(6) == b"answer"
        writer.write(b"more")
        await until(lambda: kept.data == said + b"more")
        pipe.close()
        assert await rest(reader) == b""
    await until(lambda: scene.keeper.connections == 0)
    assert scene.keeper.counters.joined == 1
    assert scene.keeper.counters.bytes == len(said) + len(b"answermore")


async def test_an_early_second_message_is_not_lost(scene: Scene) -> None:
    scene.register("alice")
    said = hello("alice")
    async with visit(scene, said) as (_, writer):
        await until(lambda: scene.asked)
        writer.write(b"early data")
        kept = Kept()
        pipe = await scene.bring(scene.asked[0].token)
        pipe.attach(kept)
        await until(lambda: kept.data == said + b"early data")
        pipe.abort()


async def test_a_holder_that_refuses_or_is_gone_is_not_waited_for(scene: Scene) -> None:
    scene.register("alice")
    scene.answer = wire.Refused("too many are here already")
    async with visit(scene, hello("alice")) as (reader, _):
        assert await rest(reader) == b""
    scene.network.crash(scene.node.node_id)
    await until(lambda: scene.links.get(scene.node.node_id) is None)
    async with visit(scene, hello("alice")) as (reader, _):
        assert (await rest(reader))[-1] == 112, "unrecognized_name"
    assert scene.keeper.counters.refused == 2
    assert len(scene.rendezvous) == 0


async def test_a_holder_that_never_comes_is_given_up() -> None:
    async with opened(Scene(rendezvous_seconds=0.2)) as scene:
        scene.register("alice")
        async with visit(scene, hello("alice")) as (reader, _):
            assert await rest(reader) == b""
        assert (scene.keeper.waiting, len(scene.rendezvous)) == (0, 0)


async def test_a_visitor_that_leaves_first_is_forgotten() -> None:
    async with opened(Scene(rendezvous_seconds=0.3)) as scene:
        scene.register("alice")
        async with visit(scene, hello("alice")):
            await until(lambda: scene.asked)
        await until(lambda: scene.keeper.waiting == 0)
        assert len(scene.rendezvous) == 0
        kept = Kept()
        pipe = await scene.bring(scene.asked[0].token)
        pipe.attach(kept)
        await until(lambda: kept.lost)


async def test_who_may_hold_no_name_gets_none(scene: Scene) -> None:
    scene.refusal = "only members of this mesh get a name here"
    assert scene.register("alice") == wire.Refused(scene.refusal)
    assert scene.keeper.names == 0


async def test_holders_are_not_let_go_while_they_hold(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned: list[tuple[NodeId, bool]] = []
    monkeypatch.setattr(scene.links, "pin", lambda node, on=True: pinned.append((node, on)))
    scene.register("alice")
    assert pinned == [(scene.node.node_id, True)]
    scene.network.crash(scene.node.node_id)
    await until(lambda: len(pinned) > 1)
    assert pinned[-1] == (scene.node.node_id, False)
    assert scene.keeper.names == 1, "kept for a while"


async def test_a_port_in_use_is_one_sentence(scene: Scene) -> None:
    terms = DoorTerms("127.0.0.1", scene.keeper.port, "mesh.example")
    second = DoorKeeper(
        terms,
        links=scene.links,
        rendezvous=scene.rendezvous,
        may_hold=lambda link: "",
        source_of=lambda link: link.peer,
        clock=SystemClock(),
        tasks=scene.tasks,
    )
    with pytest.raises(ConfigError, match="door"):
        await second.start()
