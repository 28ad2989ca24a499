"""Finds out whether a node really answers at an address that it has announced.

The edge is no member of the meshes it serves, so it cannot and need not finish a mesh handshake.
"""

from __future__ import annotations

import asyncio
import ipaddress

from mesh.errors import DialError
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.links.knock import Knocker
from mesh.links.pipe import Address, Pipe
from mesh.links.tcp import dial_tcp
from mesh.links.websocket import client_session, dial_websocket

PROBE_TIMEOUT = 4.0


class Prober:
    """Dials on behalf of an edge router. `close` releases its sockets; its owner closes `tasks`."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._knocker = Knocker(self._dial)
        self._web = client_session()

    async def reach(self, node: NodeId, address: Address) -> None:
        """Return when the node has proved its key there. Raises DialError or HandshakeError."""
        try:
            await self._knocker.knock(node, address, timeout=PROBE_TIMEOUT)
        except TimeoutError:
            raise DialError(f"{address}: no answer within {PROBE_TIMEOUT:g} s") from None

    async def close(self) -> None:
        """Release the web session."""
        await self._web.close()

    async def _dial(self, address: Address) -> Pipe:
        if address.scheme == "tcp":
            return await dial_tcp(address)
        await _refuse_private(address)
        return await dial_websocket(address, self._web, self._tasks)


async def _refuse_private(address: Address) -> None:
    """A public name may stand for a private place; raises DialError when it does."""
    try:
        rows = await asyncio.get_running_loop().getaddrinfo(address.host, address.port)
    except (OSError, UnicodeError):
        raise DialError(f"{address}: the name does not resolve") from None
    if not all(ipaddress.ip_address(str(row[4][0])).is_global for row in rows):
        raise DialError(f"{address}: the name stands for a private address")
