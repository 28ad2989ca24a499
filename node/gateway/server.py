"""The listening port: connections start lean and are handed over when not plain."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import cast

from mesh.lifecycle import CLOSE_PATIENCE, Tasks
from node.gateway import faults
from node.gateway.admission import door_of, is_loopback
from node.gateway.application import Application
from node.gateway.exchange import Head
from node.gateway.full_server import MESH_PATH, FullServer, MeshWebSocket
from node.gateway.http_bytes import whole_response
from node.gateway.http_head import PlainHead
from node.gateway.lean_connection import LeanConnection, Surroundings
from node.gateway.settings import GatewaySettings
from node.gateway.tls_files import TlsFiles
from node.gateway.tls_port import TlsPort

BACKLOG = 1024
SWEEP_SECONDS = 0.5
"""How often deadlines of connections are looked at; they are late by at most this."""
MAX_UNSENT = 128 * 1024
"""Bytes the kernel keeps unsent for one client; more waits in the engine, not in memory."""
_NO_HEAD = Head("GET", "/", "", {}, False)


class Server:
    """One HTTP port. `lean=False` hands every request to the full server, for comparison."""

    def __init__(
        self,
        *,
        application: Application,
        settings: GatewaySettings,
        mesh_websocket: MeshWebSocket | None = None,
        lean: bool = True,
    ) -> None:
        self._application = application
        self._settings = settings
        self._tasks = Tasks("gateway")
        self._lean = lean
        self._connections: set[LeanConnection] = set()
        self._listener: asyncio.Server | None = None
        self._beside: asyncio.Server | None = None
        """With TLS: without it, for programs on this machine."""
        self._tls: TlsPort | None = None
        self._full = FullServer(
            application=application,
            settings=settings,
            tasks=self._tasks,
            mesh_websocket=mesh_websocket,
        )
        self._surroundings = Surroundings(
            application=application,
            settings=settings,
            tasks=self._tasks,
            takes=self._takes,
            hand_over=self._hand_over,
            lost=self._connections.discard,
        )

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where the port listens."""
        sockets = self._listener.sockets if self._listener is not None else ()
        return [listening.getsockname()[:2] for listening in sockets]

    @property
    def beside(self) -> int:
        """The loopback port without TLS beside a port with it; 0 when there is none."""
        return int(self._beside.sockets[0].getsockname()[1]) if self._beside is not None else 0

    @property
    def open_connections(self) -> int:
        """Client connections, handed over or not."""
        shaking = self._tls.shaking if self._tls is not None else 0
        return len(self._connections) + len(self._full) + shaking

    @property
    def descriptors(self) -> list[int]:
        """Numbers of the listening sockets."""
        sockets = self._listener.sockets if self._listener is not None else ()
        return [listening.fileno() for listening in sockets]

    async def start(
        self,
        host: str,
        port: int,
        *,
        inherited: socket.socket | None = None,
        tls: TlsFiles | None = None,
    ) -> None:
        """Listen, on a socket that does already if one is given. Raises OSError."""
        loop = asyncio.get_running_loop()
        accept = self._accept
        if tls is not None:
            self._tls = TlsPort(tls, self.place)
            accept = self._tls.accept
            self._beside = await loop.create_server(self._accept, "127.0.0.1", 0, backlog=BACKLOG)
        if inherited is not None:
            self._listener = await loop.create_server(
                accept, sock=inherited, backlog=BACKLOG, start_serving=False
            )
        else:
            self._listener = await loop.create_server(
                accept, host or None, port, backlog=BACKLOG, start_serving=False
            )
        for listening in self._listener.sockets:
            _bound_unsent(listening)
        self._application.loopback_only = all(is_loopback(name) for name, _ in self.addresses)
        await self._listener.start_serving()
        self._tasks.supervise(self._sweep, "sweep")
        if self._tls is not None:
            self._tasks.supervise(self._tls.watch, "certificate")

    def stop_accepting(self) -> None:
        """Close the port and idle connections; what is being served goes on."""
        for listener in (self._listener, self._beside):
            if listener is not None:
                listener.close()
        for connection in list(self._connections):
            connection.retire()
        self._full.retire()

    async def close(self) -> None:
        """Cancel what is still being served and drop every connection."""
        self.stop_accepting()
        if self._tls is not None:
            self._tls.close()
        await self._full.close()
        await self._tasks.close()
        for connection in list(self._connections):
            connection.cut()
        await self._application.wait_idle(CLOSE_PATIENCE)

    def _accept(self) -> asyncio.BaseProtocol:
        return _Fresh(self)

    def place(self, transport: asyncio.Transport) -> None:
        """Give a fresh connection its protocol, or turn it away when there are too many."""
        if self.open_connections >= self._settings.max_connections:
            answer = self._application.refuse(_NO_HEAD, faults.CROWDED)
            transport.write(whole_response(answer, [], head_only=False, close=True))
            transport.close()
            return
        peer = transport.get_extra_info("peername")
        connection = LeanConnection(
            self._surroundings,
            loopback=bool(peer) and is_loopback(str(peer[0])),
            door=door_of(transport),
        )
        self._connections.add(connection)
        transport.set_protocol(connection)
        connection.connection_made(transport)

    def _takes(self, plain: PlainHead) -> bool:
        return self._lean and plain.head.path != MESH_PATH

    def _hand_over(
        self, connection: LeanConnection, transport: asyncio.Transport, received: bytes
    ) -> None:
        self._connections.discard(connection)
        self._full.accept(transport, received)

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = loop.time()
            for connection in list(self._connections):
                connection.check(now)


class _Fresh(asyncio.Protocol):
    """Lives for one call: asyncio wants a protocol before there is a transport to judge."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._server.place(transport)


def _bound_unsent(listening: socket.socket) -> None:
    """Accepted sockets inherit this (Linux, macOS); elsewhere only the send buffer bounds them."""
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if option is not None and listening.family in (socket.AF_INET, socket.AF_INET6):
        # A copy of the descriptor: not every event loop lets its own socket objects be set.
        with socket.socket(fileno=os.dup(listening.fileno())) as copy:
            copy.setsockopt(socket.IPPROTO_TCP, option, MAX_UNSENT)
