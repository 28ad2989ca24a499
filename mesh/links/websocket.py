"""Pipes over WebSocket (RFC 6455): through HTTP proxies, and on a node's HTTP port at /mesh.

The mesh's own TLS runs inside, so an outer wss:// is only a way through; who ends it is not
trusted and its certificate is not checked.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable

from aiohttp import (
    BaseConnector,
    ClientError,
    ClientSession,
    ClientTimeout,
    ClientWebSocketResponse,
    ClientWSTimeout,
    TCPConnector,
    WSMsgType,
    WSServerHandshakeError,
    web,
)

from mesh.errors import DialError
from mesh.lifecycle import Tasks
from mesh.links.pipe import CLOSE_PATIENCE, Address, Pipe
from mesh.links.queued_pipe import QueuedPipe

MAX_WS_MESSAGE = 256 * 1024
"""Bytes of one WebSocket message; a link writes at most about 80 KiB at once."""

_Socket = ClientWebSocketResponse | web.WebSocketResponse


class WebSocketPipe(QueuedPipe):
    """Implements `mesh.links.pipe.Pipe` over either end of a WebSocket."""

    def __init__(self, websocket: _Socket, remote: Address, tasks: Tasks) -> None:
        super().__init__(str(remote), remote.host)
        self._socket = websocket
        tasks.spawn(self.write_all(), "websocket writer")

    async def _receive(self) -> bytes:
        message = await self._socket.receive()
        return bytes(message.data) if message.type is WSMsgType.BINARY else b""

    async def _send(self, data: bytes) -> None:
        await self._socket.send_bytes(data)

    async def _finish(self) -> None:
        await self._socket.close()

    def _cut(self) -> None:
        """End the connection under the WebSocket, whose own close waits for the other end."""
        connection = self._socket.get_extra_info("socket")
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


async def dial_websocket(address: Address, session: ClientSession, tasks: Tasks) -> Pipe:
    """Connect. Raises DialError."""
    try:
        websocket = await session.ws_connect(
            str(address),
            max_msg_size=MAX_WS_MESSAGE,
            compress=0,
            ssl=False,
            timeout=ClientWSTimeout(ws_close=CLOSE_PATIENCE),
        )
    except WSServerHandshakeError as error:
        words = f"what answers there is no node's HTTP port (HTTP status {error.status})"
        raise DialError(f"{address}: {words}") from None
    except (ClientError, OSError, ValueError) as error:
        raise DialError(f"{address}: {error}") from None
    pipe = WebSocketPipe(websocket, address, tasks)
    tasks.spawn(pipe.read_all(), "websocket reader")
    return pipe


async def accept_websocket(
    request: web.Request, tasks: Tasks, accepted: Callable[[Pipe], None]
) -> web.WebSocketResponse:
    """Serve one `GET /mesh` until its link ends; `accepted` must attach a receiver at once."""
    if "Origin" in request.headers:
        # Nodes send none. A web page must not reach the mesh through its visitor's own node.
        raise web.HTTPForbidden(text="this is a port for nodes, not for web pages")
    websocket = web.WebSocketResponse(
        max_msg_size=MAX_WS_MESSAGE, compress=False, timeout=CLOSE_PATIENCE
    )
    await websocket.prepare(request)
    host, port = _peer_of(request)
    pipe = WebSocketPipe(websocket, Address("ws", host, port), tasks)
    accepted(pipe)
    await pipe.read_all()
    return websocket


def client_session(connector: BaseConnector | None = None) -> ClientSession:
    """What dials WebSockets; dials have their own time-out.

    Nothing limits the connections: a pipe keeps its own for as long as it lives.
    """
    return ClientSession(
        connector=connector or TCPConnector(limit=0), timeout=ClientTimeout(total=None)
    )


def _peer_of(request: web.Request) -> tuple[str, int]:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return (str(peer[0]), int(peer[1])) if isinstance(peer, tuple) else ("unknown", 0)
