"""Finds nodes of the same mesh on the local network by multicast DNS (RFC 6762, RFC 6763).

The service type carries the start of the mesh id and the text record the whole, so two meshes on
one network neither mix nor see much of each other's traffic. What is found is a hint only: the
link's handshake proves who answers.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING

from dht.join_address import JoinAddress
from mesh.ids import MeshId, NodeId, parse_node_id
from mesh.lifecycle import Tasks
from mesh.links.pipe import Address, parse_address

if TYPE_CHECKING:
    from zeroconf import ServiceStateChange, Zeroconf
    from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

log = logging.getLogger(__name__)

ASK_TIMEOUT_MS = 2_000
"""How long a found node's address is asked for."""
MAX_ASKED = 256
"""Nodes being asked at one time; what a flooded network announces beyond is ignored."""
MAX_FOUND = 1_024
"""Names remembered, so that each node is reported once until it leaves and comes back."""

OnFound = Callable[[Sequence[JoinAddress]], None]


def service_type(mesh_id: MeshId) -> str:
    """The DNS-SD type of a mesh: its label may have 15 characters (RFC 6763 section 7.2)."""
    return f"_de-{mesh_id[:12]}._tcp.local."


class Mdns:
    """Announces this node and reports others. Loads zeroconf only when started."""

    def __init__(
        self,
        *,
        own: NodeId,
        mesh_id: MeshId,
        tasks: Tasks,
        interfaces: Sequence[str] | None = None,
    ) -> None:
        """`interfaces`: addresses of the interfaces to use; None means all that are up.

        A node that listens on loopback only is announced on loopback only, whatever is given.
        """
        self._own = own
        self._mesh_id = mesh_id
        self._tasks = tasks
        self._on_found: OnFound = _nobody
        self._interfaces = interfaces
        self._type = service_type(mesh_id)
        self._zeroconf: AsyncZeroconf | None = None
        self._browser: AsyncServiceBrowser | None = None
        self._announced: AsyncServiceInfo | None = None
        self._asked: set[str] = set()
        self._found: dict[str, None] = {}

    async def start(self, addresses: Sequence[str], on_found: OnFound) -> bool:
        """Announce the tcp:// addresses and report others. False where multicast cannot be used."""
        from zeroconf import InterfaceChoice
        from zeroconf.asyncio import AsyncServiceBrowser, AsyncZeroconf

        self._on_found = on_found
        chosen = ["127.0.0.1"] if _all_loopback(addresses) else self._interfaces
        interfaces = InterfaceChoice.All if chosen is None else list(chosen)
        try:
            self._zeroconf = AsyncZeroconf(interfaces=interfaces)
        except OSError as error:
            log.warning("the local network cannot be searched: %s", error)
            return False
        self._browser = AsyncServiceBrowser(
            self._zeroconf.zeroconf, [self._type], handlers=[self._changed]
        )
        await self.announce(addresses)
        return True

    async def announce(self, addresses: Sequence[str]) -> None:
        """Say where this node can be dialled now. Without a tcp:// address it says nothing."""
        info = self._describe(addresses)
        if self._zeroconf is None or info is None or info == self._announced:
            return
        if self._announced is None:
            await self._zeroconf.async_register_service(info, cooperating_responders=True)
        else:
            await self._zeroconf.async_update_service(info)
        self._announced = info

    async def close(self) -> None:
        """Say goodbye and release the sockets."""
        if self._zeroconf is None:
            return
        if self._browser is not None:
            await self._browser.async_cancel()
        await self._zeroconf.async_unregister_all_services()
        await self._zeroconf.async_close()
        self._zeroconf = None

    def _describe(self, addresses: Sequence[str]) -> AsyncServiceInfo | None:
        from zeroconf.asyncio import AsyncServiceInfo

        places = [place for text in addresses if (place := _place(text)) is not None]
        if not places:
            return None
        port = places[0].port
        return AsyncServiceInfo(
            self._type,
            f"{self._own}.{self._type}",
            port=port,
            addresses=[_packed(place.host) for place in places if place.port == port],
            properties={"mesh": self._mesh_id, "id": self._own},
            server=f"{self._own}.local.",
        )

    def _changed(
        self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        from zeroconf import ServiceStateChange as Change

        if state_change is Change.Removed:
            self._found.pop(name, None)
        elif self._is_new(name, again=state_change is Change.Updated):
            self._asked.add(name)
            self._tasks.spawn(self._ask(zeroconf, name), "mdns")

    def _is_new(self, name: str, *, again: bool) -> bool:
        if name.startswith(self._own) or name in self._asked or self._tasks.closing:
            return False
        return len(self._asked) < MAX_ASKED and (again or name not in self._found)

    async def _ask(self, zeroconf: Zeroconf, name: str) -> None:
        from zeroconf.asyncio import AsyncServiceInfo

        info = AsyncServiceInfo(self._type, name)
        try:
            answered = await info.async_request(zeroconf, ASK_TIMEOUT_MS)
        finally:
            self._asked.discard(name)
        if answered and (found := self._read(info)) and len(self._found) < MAX_FOUND:
            self._found[name] = None
            self._on_found(found)

    def _read(self, info: AsyncServiceInfo) -> list[JoinAddress]:
        properties = info.decoded_properties
        if properties.get("mesh") != self._mesh_id or not info.port:
            return []
        try:
            node = parse_node_id(properties.get("id") or "")
        except ValueError:
            return []
        hosts = info.parsed_scoped_addresses()
        return [JoinAddress(str(Address("tcp", host, info.port)), node) for host in hosts]


def _nobody(found: Sequence[JoinAddress]) -> None:
    """Before start there is nobody to tell."""


def _all_loopback(addresses: Sequence[str]) -> bool:
    hosts = [place.host for text in addresses if (place := _place(text)) is not None]
    return bool(hosts) and all(ip_address(host).is_loopback for host in hosts)


def _place(text: str) -> Address | None:
    """A tcp:// address with a literal host; others cannot be announced as address records."""
    try:
        place = parse_address(text)
        _packed(place.host)
    except (ValueError, OSError):
        return None
    return place if place.scheme == "tcp" else None


def _packed(host: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
