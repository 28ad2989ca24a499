"""Pipes over TCP."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import cast

from mesh.errors import DialError
from mesh.links.pipe import (
    CLOSE_PATIENCE,
    PIPE_HIGH_WATER,
    PIPE_LOW_WATER,
    Address,
    Pipe,
    PipeReceiver,
)

BACKLOG = 256
_NOTSENT_LOWAT: int | None = getattr(socket, "TCP_NOTSENT_LOWAT", None)


class TcpPipe(asyncio.Protocol):
    """Implements `mesh.links.pipe.Pipe`."""

    def __init__(self, accepted: Callable[[Pipe], None] | None = None) -> None:
        self._accepted = accepted
        self._receiver: PipeReceiver | None = None
        self._transport: asyncio.Transport | None = None
        self._remote = self._source = ""
        self._lost: str | None = None
        self._patience: asyncio.TimerHandle | None = None

    # ── Pipe ────────────────────────────────────────────────────────────────────────────────────

    @property
    def remote(self) -> str:
        return self._remote

    @property
    def source(self) -> str:
        return self._source

    def attach(self, receiver: PipeReceiver) -> None:
        self._receiver = receiver
        if self._lost is not None:
            receiver.pipe_lost(self._lost)

    def write(self, data: bytes) -> None:
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def pause_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        if self._transport is not None and self._patience is None:
            self._transport.close()
            # A peer that does not read would keep what is queued here for ever.
            loop = asyncio.get_running_loop()
            self._patience = loop.call_later(CLOSE_PATIENCE, self._transport.abort)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # ── asyncio.Protocol ────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(PIPE_HIGH_WATER, PIPE_LOW_WATER)
        _tune(transport.get_extra_info("socket"))
        host, port = transport.get_extra_info("peername")[:2]
        self._source = host
        self._remote = str(Address("tcp", host, port))
        if self._accepted is not None:
            self._accepted(self)

    def data_received(self, data: bytes) -> None:
        if self._receiver is not None:
            self._receiver.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._patience is not None:
            self._patience.cancel()
        self._lost = "the connection ended" if exc is None else str(exc)
        if self._receiver is not None:
            self._receiver.pipe_lost(self._lost)

    def pause_writing(self) -> None:
        if self._receiver is not None:
            self._receiver.pause_writing()

    def resume_writing(self) -> None:
        if self._receiver is not None:
            self._receiver.resume_writing()


async def dial_tcp(address: Address) -> Pipe:
    """Connect. Raises DialError. Nothing is read before `attach`."""
    loop = asyncio.get_running_loop()
    try:
        _, pipe = await loop.create_connection(TcpPipe, address.host, address.port)
    except (OSError, UnicodeError) as error:
        raise DialError(f"{address}: {_words(error)}") from None
    return pipe


async def listen_tcp(
    host: str,
    port: int,
    accepted: Callable[[Pipe], None],
    *,
    listening: socket.socket | None = None,
) -> asyncio.Server:
    """Accept pipes, on a socket that listens already if one is given. Raises OSError.

    `accepted` must attach a receiver at once.
    """
    loop = asyncio.get_running_loop()
    if listening is not None:
        return await loop.create_server(lambda: TcpPipe(accepted), sock=listening, backlog=BACKLOG)
    return await loop.create_server(
        lambda: TcpPipe(accepted), host or None, port, backlog=BACKLOG, reuse_address=True
    )


def _tune(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if _NOTSENT_LOWAT is not None:
        # Keep what waits to be sent here, where a control message can still overtake it.
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, PIPE_HIGH_WATER)


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or "no such host"
