"""Finds out whether a node answers at the other end of a pipe: TLS as far as the proof of its key.

TLS 1.3 has the dialled side prove its certificate's key first, and the node id is that key's hash;
so whoever only wants to know who answers needs no mesh handshake.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from mesh.errors import HandshakeError
from mesh.identity.keys import NodeKey
from mesh.ids import NodeId, node_id_of
from mesh.links.pipe import Address, Pipe
from mesh.links.tls import TlsChannel, TlsIdentity

MAX_RECEIVED = 16 * 1024
"""Bytes that an end may send before it has proved its key."""


class Knocker:
    """Dials by `open_pipe`, as somebody with no name: its key is made for nothing else."""

    def __init__(self, open_pipe: Callable[[Address], Awaitable[Pipe]]) -> None:
        self._open_pipe = open_pipe
        self._tls = TlsIdentity(NodeKey.generate())

    async def knock(self, node: NodeId, address: Address, *, timeout: float) -> None:
        """Return when the node has proved its key there.

        Raises DialError, HandshakeError, or TimeoutError after `timeout` seconds.
        """
        async with asyncio.timeout(timeout):
            pipe = await self._open_pipe(address)
            try:
                key = await _Knock(pipe, self._tls.channel(dialler=True)).key()
            finally:
                pipe.close()
        if node_id_of(key) != node:
            raise HandshakeError(f"{address}: another node answers there")


class _Knock:
    """Owns a pipe until the other end has proved its key; implements PipeReceiver."""

    def __init__(self, pipe: Pipe, tls: TlsChannel) -> None:
        self._pipe = pipe
        self._tls = tls
        self._received = 0
        self._key: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def key(self) -> bytes:
        """The key that was proved. Raises HandshakeError."""
        self._pipe.attach(self)
        self._pipe.write(self._tls.start())
        return await self._key

    def data_received(self, data: bytes) -> None:
        if self._key.done():
            return
        self._received += len(data)
        try:
            if self._received > MAX_RECEIVED:
                raise HandshakeError("too much was sent before the proof")
            self._tls.receive(data)
            if self._tls.established:
                self._key.set_result(self._tls.peer_key())
                self._pipe.write(self._tls.pending_output() + self._tls.goodbye())
        except HandshakeError as error:
            self._key.set_exception(error)

    def pipe_lost(self, reason: str) -> None:
        if not self._key.done():
            self._key.set_exception(HandshakeError(f"the connection ended ({reason})"))

    def pause_writing(self) -> None:
        """A handshake is too small to care."""

    def resume_writing(self) -> None:
        """A handshake is too small to care."""
