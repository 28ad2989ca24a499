"""TLS on a pipe, as an HTTP server sees it."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mesh.links.pipe import PipeReceiver
from node.door.certificate import own_certificate
from node.door.tls_transport import TlsTransport
from tests.fakes.tls_client import MemoryClient


class ScriptedPipe:
    """Implements mesh.links.pipe.Pipe; keeps what was written."""

    remote, source = "tcp://127.0.0.1:1", "127.0.0.1"

    def __init__(self) -> None:
        self.written = bytearray()
        self.paused = self.closed = self.aborted = False
        self.receiver: PipeReceiver | None = None

    def attach(self, receiver: PipeReceiver) -> None:
        self.receiver = receiver

    def write(self, data: bytes) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True

    def take(self) -> bytes:
        taken, self.written = bytes(self.written), bytearray()
        return taken


class Recorded(asyncio.Protocol):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.transport: asyncio.BaseTransport | None = None
        self.data = b""
        self.ends: list[str] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data

    def eof_received(self) -> None:
        self.ends.append("eof")

    def connection_lost(self, exc: Exception | None) -> None:
        self.ends.append("lost")


class Side:
    """A transport with its pipe, its protocol and a client."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.pipe, self.protocol = ScriptedPipe(), Recorded()
        self.client = MemoryClient("alice.mesh.example")
        self.over = 0
        self.transport = TlsTransport(
            self.pipe,
            context,
            extra={"peername": ("203.0.113.7", 0)},
            opened=self._opened,
            over=self._over,
        )
        self.transport.start()

    def _opened(self, transport: TlsTransport) -> None:
        transport.set_protocol(self.protocol)
        self.protocol.connection_made(transport)

    def _over(self, transport: TlsTransport) -> None:
        self.over += 1

    def serving(self) -> asyncio.BaseTransport | None:
        return self.protocol.transport

    def shake(self) -> None:
        self.transport.data_received(self.client.shake())
        self.transport.data_received(self.client.shake(self.pipe.take()))
        self.client.read(self.pipe.take())

    def say(self, data: bytes) -> None:
        self.transport.data_received(self.client.send(data))

    def lose(self) -> None:
        self.transport.pipe_lost("the connection ended")


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    now = datetime.now(UTC)
    folder: Path = tmp_path_factory.mktemp("door")
    return own_certificate(folder, "alice.mesh.example", now).context


@pytest.fixture
async def side(context: ssl.SSLContext) -> Side:
    return Side(context)


async def test_what_is_said_arrives_both_ways(side: Side) -> None:
    assert side.serving() is None
    side.shake()
    assert side.serving() is side.transport
    assert side.transport.get_extra_info("peername") == ("203.0.113.7", 0)
    side.say(b"GET / HTTP/1.1\r\n")
    assert side.protocol.data == b"GET / HTTP/1.1\r\n"
    side.transport.write(b"HTTP/1.1 200 OK\r\n")
    sent = side.pipe.take()
    assert b"HTTP" not in sent
    assert side.client.read(sent) == b"HTTP/1.1 200 OK\r\n"
    side.lose()


async def test_no_tls_ends_it(side: Side) -> None:
    side.transport.data_received(b"GET / HTTP/1.1\r\n\r\n")
    assert side.pipe.aborted
    side.lose()
    assert (side.over, side.protocol.ends) == (1, [])


async def test_tls_1_2_is_refused(context: ssl.SSLContext) -> None:
    side = Side(context)
    old = MemoryClient("alice.mesh.example", most=ssl.TLSVersion.TLSv1_2)
    side.transport.data_received(old.shake())
    assert side.pipe.aborted
    with pytest.raises(ssl.SSLError, match="protocol version"):
        old.shake(side.pipe.take())
    side.lose()


async def test_a_broken_record_ends_it(side: Side) -> None:
    side.shake()
    sealed = bytearray(side.client.send(b"secret"))
    sealed[-1] ^= 1
    side.transport.data_received(bytes(sealed))
    assert side.pipe.aborted
    assert side.protocol.data == b""
    side.lose()
    assert side.protocol.ends == ["lost"]


async def test_nothing_is_delivered_while_reading_is_paused(side: Side) -> None:
    side.shake()
    side.transport.pause_reading()
    assert side.pipe.paused
    side.say(b"later")
    assert side.protocol.data == b""
    side.transport.resume_reading()
    await asyncio.sleep(0)
    assert (side.protocol.data, side.pipe.paused) == (b"later", False)
    side.lose()


async def test_closing_says_goodbye_and_waits_for_the_client(side: Side) -> None:
    side.shake()
    side.transport.write(b"the end of an answer")
    side.transport.close()
    assert not side.pipe.closed, "what the keeper still holds would be cut off"
    side.transport.write(b"too late")
    assert side.client.read(side.pipe.take()) == b"the end of an answer"
    side.lose()
    assert (side.protocol.ends, side.over) == (["lost"], 1)


async def test_a_client_that_says_goodbye_is_gone(side: Side) -> None:
    side.shake()
    with pytest.raises(ssl.SSLWantReadError):
        side.client.tls.unwrap()
    side.transport.data_received(side.client.outgoing.read())
    assert side.protocol.ends == ["eof"]
    assert side.pipe.closed
    side.lose()


async def test_a_paused_transport_that_closes_still_sees_the_end(side: Side) -> None:
    side.shake()
    side.transport.pause_reading()
    side.transport.close()
    assert not side.pipe.paused
    side.lose()


async def test_a_lost_pipe_is_told_once(side: Side) -> None:
    side.shake()
    side.lose()
    side.lose()
    side.transport.abort()
    assert (side.over, side.protocol.ends, side.pipe.aborted) == (1, ["lost"], False)
