"""Finds out whether a node really answers at an address: TLS as far as the proof of its key.

The edge is no member of the meshes it serves, so it cannot and need not finish a mesh handshake:
TLS 1.3 has the dialled side prove its certificate's key, and the node id is that key's hash.
"""

from __future__ import annotations

import asyncio
import ipaddress

from mesh.errors import DialError, HandshakeError
from mesh.identity.keys import NodeKey
from mesh.ids import NodeId, node_id_of
from mesh.lifecycle import Tasks
from mesh.links.pipe import Address, Pipe
from mesh.links.tcp import dial_tcp
from mesh.links.tls import TlsChannel, TlsIdentity
from mesh.links.websocket import client_session, dial_websocket

PROBE_TIMEOUT = 4.0
MAX_RECEIVED = 16 * 1024
"""Bytes a probed end may send before it has proved its key."""


class Prober:
    """Dials on behalf of an edge router. `close` releases its sockets; its owner closes `tasks`."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._tls = TlsIdentity(NodeKey.generate())
        self._web = client_session()

    async def reach(self, node: NodeId, address: Address) -> None:
        """Return when the node has proved its key there. Raises DialError or HandshakeError."""
        try:
            async with asyncio.timeout(PROBE_TIMEOUT):
                pipe = await self._dial(address)
                try:
                    key = await _Knock(pipe, self._tls.channel(dialler=True)).key()
                finally:
                    pipe.close()
        except TimeoutError:
            raise DialError(f"{address}: no answer within {PROBE_TIMEOUT:g} s") from None
        if node_id_of(key) != node:
            raise HandshakeError(f"{address}: another node answers there")

    async def close(self) -> None:
        """Release the web session."""
        await self._web.close()

    async def _dial(self, address: Address) -> Pipe:
        if address.scheme == "tcp":
            return await dial_tcp(address)
        await _refuse_private(address)
        return await dial_websocket(address, self._web, self._tasks)


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


async def _refuse_private(address: Address) -> None:
    """A public name may stand for a private place; raises DialError when it does."""
    try:
        rows = await asyncio.get_running_loop().getaddrinfo(address.host, address.port)
    except (OSError, UnicodeError):
        raise DialError(f"{address}: the name does not resolve") from None
    if not all(ipaddress.ip_address(str(row[4][0])).is_global for row in rows):
        raise DialError(f"{address}: the name stands for a private address")
