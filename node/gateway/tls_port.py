"""TLS on the HTTP port, so that https://host/v1 and wss://host/mesh answer on one port (443)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from mesh.links.pipe import Pipe
from mesh.links.tcp import TcpPipe
from node.door.tls_transport import TlsTransport
from node.gateway.tls_files import TlsFault, TlsFiles, expired

log = logging.getLogger(__name__)

MAX_SHAKING = 512
"""Handshakes at once. One more ends the oldest: an honest one is over in a few round trips."""
LOOK_EVERY = 5.0
"""Seconds between two looks at the files: whoever renews them need not know of this node."""
_TOLD = ("peername", "sockname", "socket")
"""What protocols ask of the connection under TLS."""


class TlsPort:
    """Takes fresh connections through the handshake and places what results."""

    def __init__(self, files: TlsFiles, place: Callable[[asyncio.Transport], None]) -> None:
        self._files = files
        self._place = place
        self._shaking: dict[TlsTransport, None] = {}
        """In the order in which they began."""

    @property
    def shaking(self) -> int:
        """Handshakes that are going on."""
        return len(self._shaking)

    def accept(self) -> asyncio.BaseProtocol:
        """The protocol of a fresh connection."""
        return _Arriving(self._shake)

    def close(self) -> None:
        """End the handshakes that are going on."""
        for transport in list(self._shaking):
            transport.abort()

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

    def _shake(self, pipe: Pipe, extra: dict[str, Any]) -> None:
        if len(self._shaking) >= MAX_SHAKING:
            oldest = next(iter(self._shaking))
            del self._shaking[oldest]
            oldest.abort()
        transport = TlsTransport(
            pipe, self._files.context, extra=extra, opened=self._opened, over=self._over
        )
        self._shaking[transport] = None
        transport.start()

    def _opened(self, transport: TlsTransport) -> None:
        self._over(transport)
        self._place(transport)

    def _over(self, transport: TlsTransport) -> None:
        self._shaking.pop(transport, None)


class _Arriving(TcpPipe):
    """A pipe that tells about its connection, for the transport on it to tell on."""

    def __init__(self, shake: Callable[[Pipe, dict[str, Any]], None]) -> None:
        super().__init__(lambda pipe: shake(pipe, self._extra))
        self._extra: dict[str, Any] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._extra = {name: transport.get_extra_info(name) for name in _TOLD}
        super().connection_made(transport)
