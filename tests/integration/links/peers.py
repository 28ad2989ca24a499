"""Peers and waits that the tests of real links share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Protocol

from mesh.errors import HandshakeError
from mesh.identity.keys import NodeKey
from mesh.identity.mesh import mesh_of_network
from mesh.links.greeting import Greeted, Greeting
from mesh.links.handshake import DiallerHandshake
from mesh.links.pipe import Address
from mesh.links.pool import LinkPool
from mesh.links.tcp import dial_tcp
from mesh.links.tls import TlsIdentity
from mesh.ports import Link, Stream
from mesh.wire.frames import FrameDecoder
from mesh.wire.hello import Hello

MESH = mesh_of_network("integration")


class MakePool(Protocol):
    """Starts a pool on loopback; keywords replace the constructor's."""

    async def __call__(self, **changes: Any) -> LinkPool: ...


async def echo(link: Link, stream: Stream) -> None:
    """A handler that sends back what comes."""
    while (message := await stream.receive()) is not None:
        await stream.send(message)


async def eventually(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


class RawPeer:
    """A peer that shakes hands properly and then sends whatever frames a test wants."""

    def __init__(self, greeted: Greeted) -> None:
        self.greeted = greeted
        self.received: list[list[Any]] = list(greeted.frames)
        self.lost = asyncio.Event()
        self._decoder = FrameDecoder()
        greeted.pipe.attach(self)

    def send(self, *frames: bytes) -> None:
        self.greeted.pipe.write(self.greeted.tls.write(b"".join(frames)))

    def pause_reading(self) -> None:
        self.greeted.pipe.pause_reading()

    def data_received(self, data: bytes) -> None:
        with contextlib.suppress(HandshakeError):  # an alert ends the pipe anyway
            self.received += self._decoder.feed(self.greeted.tls.receive(data))

    def pipe_lost(self, reason: str) -> None:
        self.lost.set()

    def pause_writing(self) -> None:
        """Tests send little."""

    def resume_writing(self) -> None:
        """Tests send little."""


class DialRaw(Protocol):
    """Dials a pool by hand; keywords replace fields of the hello."""

    async def __call__(
        self, pool: LinkPool, key: NodeKey | None = None, **changes: Any
    ) -> RawPeer: ...


async def dial_raw(pool: LinkPool, key: NodeKey | None = None, **changes: Any) -> RawPeer:
    """Dial a pool as a peer of its mesh, by hand. Raises HandshakeError."""
    key = key or NodeKey.generate()
    fields: dict[str, Any] = {
        "mesh_id": MESH,
        "public_key": key.public_key,
        "boot_counter": 1,
        "boot_id": "00",
        "versions": (1,),
        **changes,
    }
    hello = Hello(**fields)
    result: asyncio.Future[Greeted] = asyncio.get_running_loop().create_future()
    pipe = await dial_tcp(Address("tcp", "127.0.0.1", pool.port))
    greeting = Greeting(
        pipe,
        TlsIdentity(key).channel(dialler=True),
        DiallerHandshake(key, expected=None, introduce=lambda _: hello, admit=lambda a, b: None),
        done=result.set_result,
        failed=result.set_exception,
    )
    greeting.start()
    return RawPeer(await result)
