"""The full HTTP server (aiohttp): WebSockets, chunked bodies and whatever else is unusual."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from mesh.lifecycle import Tasks
from node.gateway import faults
from node.gateway.admission import came_by_proxy, door_of, is_loopback
from node.gateway.application import Application
from node.gateway.exchange import Answer, Head, split_target
from node.gateway.faults import Refusal
from node.gateway.full_reply import FullReply, whole
from node.gateway.limits import MAX_BODY, MAX_HEADERS, body_deadline
from node.gateway.settings import GatewaySettings

MESH_PATH = "/mesh"
MAX_LINE = 8190
"""Bytes of the request line, and of one header field."""
LINGER_SECONDS = 2.0
"""After a refusal the rest of a body is read and dropped for so long."""
CLOSE_SECONDS = 0.05
"""Patience with handlers when closing, after any drain; zero would mean for ever to aiohttp."""

MeshWebSocket = Callable[[Any], Awaitable[web.StreamResponse]]
"""Serves GET /mesh with an aiohttp request: a WebSocket that carries a link.

Whoever comes proves itself in the link's handshake, so no API key is asked for here.
"""

_Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

log = logging.getLogger(__name__)
_silent = logging.getLogger(f"{__name__}.aiohttp")
# Broken requests are the client's business; what breaks here is logged by the application.
_silent.setLevel(logging.CRITICAL)


class FullServer:
    """Owns the connections that were handed over."""

    def __init__(
        self,
        *,
        application: Application,
        settings: GatewaySettings,
        tasks: Tasks,
        mesh_websocket: MeshWebSocket | None,
    ) -> None:
        self._application = application
        self._settings = settings
        self._tasks = tasks
        self._mesh_websocket = mesh_websocket
        self._server = _Server(
            self._handle,
            application=application,
            access_log=None,
            logger=_silent,
            keepalive_timeout=settings.idle_seconds,
            lingering_time=LINGER_SECONDS,
            max_line_size=MAX_LINE,
            max_field_size=MAX_LINE,
            max_headers=MAX_HEADERS,
            auto_decompress=False,
        )

    def __len__(self) -> int:
        return len(self._server.connections)

    def accept(self, transport: asyncio.Transport, received: bytes) -> None:
        """Serve a connection from now on; `received` is what came before and was not answered."""
        handler = self._server()
        transport.set_protocol(handler)
        handler.connection_made(transport)
        handler.data_received(received)

    def retire(self) -> None:
        """Close idle connections now and the others after their request."""
        self._server.pre_shutdown()

    async def close(self) -> None:
        """Cancel what is still being served and close every connection."""
        await self._server.shutdown(CLOSE_SECONDS)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        head = head_of(request)
        if head.path == MESH_PATH and not head.door and self._mesh_websocket is not None:
            return await self._mesh(head, request, self._mesh_websocket)
        admitted = self._application.admit(head)
        reply = FullReply(request, [], self._settings.stall_seconds, self._tasks)
        if isinstance(admitted, Answer):
            await reply.send(admitted)
            return reply.response
        reserved = _Reserved(self._application)
        try:
            admitted.incoming.body = await self._read_body(request, reserved)
            reply.common = admitted.incoming.common
            await self._application.serve(admitted, reply)
        except Refusal as refusal:
            await reply.send(self._application.refuse(head, refusal.fault))
        finally:
            reserved.release()
        return reply.response

    async def _mesh(
        self, head: Head, request: web.BaseRequest, serve: MeshWebSocket
    ) -> web.StreamResponse:
        # Nodes send no Origin; a web page always does, and has no business on the mesh.
        fault = faults.WRONG_ORIGIN if "origin" in head.headers else None
        if self._application.draining:
            fault = faults.DRAINING
        elif "websocket" not in head.headers.get("upgrade", "").lower():
            fault = faults.NO_WEBSOCKET
        if fault is None:
            return await serve(request)
        reply = FullReply(request, [], self._settings.stall_seconds, self._tasks)
        await reply.send(self._application.refuse(head, fault))
        return reply.response

    async def _read_body(self, request: web.BaseRequest, reserved: _Reserved) -> bytes:
        """The whole body, within its size and time. Raises Refusal."""
        if (request.content_length or 0) > MAX_BODY:
            raise Refusal(faults.TOO_LARGE)
        await _answer_expectation(request)
        seconds = self._settings.body_seconds
        now = asyncio.get_running_loop().time
        deadline = now() + seconds
        body = bytearray()
        try:
            async with asyncio.timeout_at(deadline) as limit:
                while not request.content.at_eof():
                    piece = await request.content.readany()
                    reserved.grow(len(body) + len(piece))
                    body += piece
                    deadline = body_deadline(deadline, len(piece), now(), seconds)
                    limit.reschedule(deadline)
        except TimeoutError:
            raise Refusal(faults.TOO_SLOW) from None
        except web.RequestPayloadError:
            raise Refusal(faults.BAD_FRAMING) from None
        return bytes(body)


class _Server(web.Server):
    """aiohttp's server with answers to broken HTTP in this gateway's shape."""

    def __init__(self, handler: _Handle, *, application: Application, **options: Any) -> None:
        super().__init__(handler, handler_cancellation=True, **options)
        self.application = application

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(web.RequestHandler):
    """One connection; says what was wrong with a request that could not even be parsed."""

    __slots__ = ("_application",)

    def __init__(self, server: _Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._application = server.application

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to broken HTTP; closes the connection."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer had already begun")
        fault = faults.INTERNAL if status >= 500 else faults.BAD_FRAMING
        if status >= 500:
            log.error("the full server failed at a request", exc_info=exc)
        answer = self._application.refuse(head_of(request), fault)
        response = whole(answer, [])
        response.force_close()
        return response


class _Reserved:
    """Room claimed for one body."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._size = 0

    def grow(self, size: int) -> None:
        """Claim up to `size` bytes in total. Raises Refusal when there is no room."""
        if size > self._size:
            if size > MAX_BODY:
                raise Refusal(faults.TOO_LARGE)
            fault = self._application.reserve(size - self._size)
            if fault is not None:
                raise Refusal(fault)
            self._size = size

    def release(self) -> None:
        """Give everything back."""
        self._application.release(self._size)
        self._size = 0


def head_of(request: web.BaseRequest) -> Head:
    """The head of an aiohttp request in this gateway's words."""
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    path, query = split_target(request.raw_path)
    door = door_of(request.transport)
    local = not door and is_loopback(request.remote or "") and not came_by_proxy(headers)
    return Head(request.method, path, query, headers, local, door)


async def _answer_expectation(request: web.BaseRequest) -> None:
    """Tell a client that waits for it to send its body (RFC 9110 10.1.1)."""
    expectation = request.headers.get("expect", "")
    if not expectation:
        return
    if expectation.lower() != "100-continue":
        raise Refusal(faults.UNEXPECTED)
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    # aiohttp counts these bytes as the response and would refuse to send another.
    request.writer.output_size = 0
