"""Talks to edge routers: announces this node, asks for seeds. HTTP, a few times an hour."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from urllib.parse import urlsplit

import aiohttp

from dht.join_address import JoinAddress
from mesh.errors import DialError, ElectronsError
from mesh.ids import MeshId, NodeId
from mesh.links.outbound import connector_by
from mesh.links.pipe import Address
from mesh.links.proxy import Proxy, ProxyRoutes
from mesh.wire.edge import MAX_SEEDS_BYTES, decode_seeds
from mesh.wire.records import SignedNode

log = logging.getLogger(__name__)

TIMEOUT = 5.0
"""Seconds for one call, connecting included."""


class EdgeError(ElectronsError):
    """An edge router did not answer, or not as one."""


class EdgeClient:
    """One edge router. The session is made at first use and closed by `close`."""

    def __init__(
        self, url: str, *, mesh_id: MeshId, own: NodeId, proxies: ProxyRoutes | None = None
    ) -> None:
        self.url = url.rstrip("/")
        self._mesh_id = mesh_id
        self._own = own
        self._proxy = _proxy_for(self.url, proxies or ProxyRoutes())
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def announce(self, signed: SignedNode) -> None:
        """Tell the edge where this node can be dialled. Raises EdgeError with the edge's reason."""
        await self._call("POST", "/announce", {"mesh": self._mesh_id}, signed.data)

    async def seeds(self) -> Sequence[JoinAddress]:
        """Nodes of this mesh that the edge has reached lately. Raises EdgeError."""
        body = await self._call("GET", "/seeds", {"mesh": self._mesh_id, "node": self._own}, None)
        try:
            seeds = decode_seeds(body)
        except ElectronsError as error:
            raise EdgeError(f"{self.url}: {error}") from None
        return [
            JoinAddress(address, seed.node)
            for seed in seeds
            if seed.node != self._own
            for address in seed.addresses
        ]

    async def close(self) -> None:
        """Release the connection; calls are refused from now on."""
        self._closed = True
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _call(
        self, method: str, path: str, query: dict[str, str], body: bytes | None
    ) -> bytes:
        if self._closed:
            raise EdgeError(f"{self.url} is not asked any more: this node is stopping")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=connector_by(self._proxy), timeout=aiohttp.ClientTimeout(total=TIMEOUT)
            )
        try:
            async with self._session.request(
                method, self.url + path, params=query, data=body
            ) as response:
                data = await response.content.read(MAX_SEEDS_BYTES + 1)
        except (aiohttp.ClientError, DialError, TimeoutError, OSError, ValueError) as error:
            raise EdgeError(
                f"{self.url} does not answer: {error or type(error).__name__}"
            ) from None
        if response.status != 200:
            reason = data[:200].decode("utf-8", "replace")
            raise EdgeError(f"{self.url} answered {response.status}: {reason}")
        return data


def _proxy_for(url: str, proxies: ProxyRoutes) -> Proxy | None:
    """Proxies are chosen for pipes: an HTTP port is one that carries them as well."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    return proxies.proxy_for(Address("wss" if secure else "ws", parts.hostname or "", port))
