"""Pipes over WebSocket (RFC 6455): through HTTP proxies, and on a node's HTTP port at /mesh.

The mesh's own TLS runs inside, so an outer wss:// is only a way through; who ends it is not
trusted and its certificate is not checked.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
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
from mesh.links.pipe import (
    CLOSE_PATIENCE,
    PIPE_HIGH_WATER,
    PIPE_LOW_WATER,
    Address,
    Pipe,
    PipeReceiver,
)

MAX_WS_MESSAGE = 256 * 1024
"""Bytes of one WebSocket message; a link writes at most about 80 KiB at once."""

_Socket = ClientWebSocketResponse | web.WebSocketResponse


class WebSocketPipe:
    """Implements `mesh.links.pipe.Pipe` over either end of a WebSocket."""

    def __init__(self, websocket: _Socket, remote: Address, tasks: Tasks) -> None:
        self._socket = websocket
        self._remote = remote
        self._receiver: PipeReceiver | None = None
        self._outgoing: deque[bytes] = deque()
        self._outgoing_size = 0
        self._wake = asyncio.Event()
        self._readable = asyncio.Event()
        self._readable.set()
        self._closing = False
        self._paused = False
        self._patience: asyncio.TimerHandle | None = None
        tasks.spawn(self._write_all(), "websocket writer")

    @property
    def remote(self) -> str:
        return str(self._remote)

    @property
    def source(self) -> str:
        return self._remote.host

    def attach(self, receiver: PipeReceiver) -> None:
        self._receiver = receiver

    def write(self, data: bytes) -> None:
        if not data or self._closing:
            return
        self._outgoing.append(data)
        self._outgoing_size += len(data)
        self._wake.set()
        if self._outgoing_size > PIPE_HIGH_WATER and not self._paused and self._receiver:
            self._paused = True
            self._receiver.pause_writing()

    def pause_reading(self) -> None:
        self._readable.clear()

    def resume_reading(self) -> None:
        self._readable.set()

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._wake.set()
            self._patience = asyncio.get_running_loop().call_later(CLOSE_PATIENCE, self._cut)

    def abort(self) -> None:
        self._outgoing.clear()
        self.close()
        self._cut()

    async def run(self) -> None:
        """Deliver what comes until the WebSocket ends."""
        reason = "the WebSocket ended"
        try:
            while True:
                message = await self._socket.receive()
                if message.type is not WSMsgType.BINARY:
                    break
                await self._readable.wait()
                if self._receiver is not None:
                    self._receiver.data_received(message.data)
        except (ClientError, OSError) as error:
            reason = str(error) or reason
        finally:
            self.close()
            if self._receiver is not None:
                self._receiver.pipe_lost(reason)

    def _cut(self) -> None:
        """End the connection under the WebSocket, whose own close waits for the other end."""
        connection = self._socket.get_extra_info("socket")
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    async def _write_all(self) -> None:
        try:
            while self._outgoing or not self._closing:
                if self._outgoing:
                    await self._write_one()
                else:
                    self._wake.clear()
                    await self._wake.wait()
        except (ClientError, OSError):
            self._closing = True  # the reader sees the end and reports it
        finally:
            await self._socket.close()
            if self._patience is not None:
                self._patience.cancel()

    async def _write_one(self) -> None:
        data = self._outgoing.popleft()
        await self._socket.send_bytes(data)
        self._outgoing_size -= len(data)
        if self._paused and self._outgoing_size < PIPE_LOW_WATER and self._receiver:
            self._paused = False
            self._receiver.resume_writing()


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
    tasks.spawn(pipe.run(), "websocket reader")
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
    await pipe.run()
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
