"""TLS on the HTTP port, so that https://host/v1 and wss://host/mesh answer on one port (443)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import cast

from mesh.lifecycle import Tasks
from node.gateway.tls_files import TlsFault, TlsFiles, expired

log = logging.getLogger(__name__)

HANDSHAKE_SECONDS = 5.0
"""From the connection to the end of its TLS handshake."""
GOODBYE_SECONDS = 2.0
"""For the client to answer the end of TLS with its own; many just go."""
MAX_SHAKING = 512
"""Handshakes at once. One more ends the oldest: an honest one is over in a few round trips."""
MAX_EARLY = 64 * 1024
"""Bytes that may come right behind a handshake, before somebody reads them."""
LOOK_EVERY = 5.0
"""Seconds between two looks at the files: whoever renews them need not know of this node."""


class TlsPort:
    """Takes fresh connections through the handshake and places what results."""

    def __init__(
        self, files: TlsFiles, tasks: Tasks, place: Callable[[asyncio.Transport], None]
    ) -> None:
        self._files = files
        self._tasks = tasks
        self._place = place
        self._shaking: dict[asyncio.Task[None], asyncio.Transport] = {}
        """In the order in which they began."""

    @property
    def shaking(self) -> int:
        """Handshakes that are going on."""
        return len(self._shaking)

    def accept(self) -> asyncio.BaseProtocol:
        """The protocol of a fresh connection."""
        return _Arriving(self)

    def shake(self, transport: asyncio.Transport) -> None:
        """Shake hands in the background."""
        transport.pause_reading()  # what comes belongs to TLS
        if self._tasks.closing:
            transport.abort()
            return
        if len(self._shaking) >= MAX_SHAKING:
            self._end(next(iter(self._shaking)))
        task = self._tasks.spawn(self._shake(transport), "TLS handshake")
        self._shaking[task] = transport
        task.add_done_callback(self._over)

    async def watch(self) -> None:
        """Take up renewed files; complain once about useless ones and keep the old."""
        warned = None
        while True:
            not_after = self._files.not_after
            if warned != not_after and expired(not_after, time.time()):
                warned = not_after
                log.warning("the certificate ended on %s: browsers refuse it, renew it", not_after)
            await asyncio.sleep(LOOK_EVERY)
            try:
                if self._files.refresh():
                    log.info("the certificate was read again: valid to %s", self._files.not_after)
            except TlsFault as fault:
                log.warning("%s: %s; the one of before stays in use", fault.path, fault)

    def _over(self, task: asyncio.Task[None]) -> None:
        transport = self._shaking.pop(task, None)
        if transport is not None and task.cancelled():
            transport.abort()

    def _end(self, task: asyncio.Task[None]) -> None:
        self._shaking.pop(task).abort()
        task.cancel()

    async def _shake(self, transport: asyncio.Transport) -> None:
        early = _Early()
        try:
            secure = await asyncio.get_running_loop().start_tls(
                transport,
                early,
                self._files.context,
                server_side=True,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=GOODBYE_SECONDS,
            )
        except OSError:  # no TLS, too slow, gone: the client's business
            transport.abort()
            return
        if secure is None or early.ended or secure.is_closing():
            transport.abort()
            return
        self._place(secure)
        if early.data:
            protocol = cast(asyncio.Protocol, secure.get_protocol())
            protocol.data_received(bytes(early.data))


class _Arriving(asyncio.Protocol):
    """Lives until the handshake begins."""

    def __init__(self, port: TlsPort) -> None:
        self._port = port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._port.shake(cast(asyncio.Transport, transport))  # uvloop's is none by inheritance


class _Early(asyncio.Protocol):
    """Keeps what comes in the same segment as the end of the handshake."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.ended = False

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.ended = self.ended or len(self.data) > MAX_EARLY

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
