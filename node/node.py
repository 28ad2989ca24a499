"""A node's life: what starts and stops in which order, and what it says of itself meanwhile."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass

from dht.announcer import EdgeAnnouncer
from dht.bootstrap import Bootstrap
from dht.directory import Directory
from dht.kademlia import KademliaDirectory
from dht.neighbourhood import Neighbourhood
from mesh.capability import NodeState
from mesh.lifecycle import Tasks
from mesh.links.pool import LinkPool
from mesh.version import VERSION
from node.banner import Banner
from node.config import Config
from node.config_addresses import Address
from node.dispatch.mesh_dispatch import MeshDispatch
from node.gateway.gateway import Gateway
from node.report import Report
from services.catalog import Catalog
from services.host import Host

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything a node consists of, built but not started."""

    links: LinkPool
    directory: Directory
    table: KademliaDirectory
    neighbourhood: Neighbourhood
    bootstrap: Bootstrap
    announcer: EdgeAnnouncer
    catalog: Catalog
    host: Host
    dispatch: MeshDispatch
    gateway: Gateway
    report: Report
    tasks: Tasks


class ElectronsNode:
    """Implements node.daemon.Node."""

    def __init__(self, *, config: Config, token: str, parts: Parts) -> None:
        self._config = config
        self._parts = parts
        self._closing = AsyncExitStack()
        self._draining = False
        self.token = token

    @property
    def node_id(self) -> str:
        return self._parts.links.node_id

    @property
    def http_url(self) -> str:
        return f"http://{_usable(self._config.http, self._parts.gateway.port)}"

    @property
    def mesh_address(self) -> str:
        return str(_usable(self._config.mesh, self._parts.links.port))

    async def start(self) -> None:
        """Bind, probe, then look for peers in the background. Raises OSError, ElectronsError."""
        parts, closing = self._parts, self._closing
        closing.push_async_callback(parts.tasks.close)
        closing.push_async_callback(parts.links.close)
        await parts.links.start()
        closing.push_async_callback(parts.catalog.close)
        probing = parts.tasks.spawn(parts.report.probe(), "hardware")
        parts.catalog.on_change(self._publish)
        await parts.catalog.start()
        self._publish()
        parts.host.start()
        parts.dispatch.start()
        parts.directory.start()
        parts.table.start()
        closing.push_async_callback(self._leave)
        parts.neighbourhood.start()
        closing.push_async_callback(parts.gateway.close)
        await parts.gateway.start(self._config.http.host, self._config.http.port)
        await probing
        closing.push_async_callback(parts.bootstrap.close)
        parts.bootstrap.start()
        parts.announcer.start()

    async def drain(self, deadline_seconds: float) -> None:
        """Tell the mesh, take no new jobs, wait for the running ones."""
        parts = self._parts
        self._draining = parts.report.draining = parts.host.draining = True
        self._publish()
        try:
            async with asyncio.timeout(deadline_seconds):
                await parts.gateway.close(deadline_seconds)
                await parts.host.wait_idle()
        except TimeoutError:
            log.warning("%d jobs were cut off", parts.host.in_flight)

    async def stop(self) -> None:
        """In the reverse order of the start."""
        await self._closing.aclose()

    async def wait_failed(self) -> None:
        """A node's parts are restarted when they crash; nothing ends it from inside."""
        await asyncio.Event().wait()

    def state(self) -> str:
        return self._parts.report.state()

    def banner(self) -> Banner:
        return self._parts.report.banner(self.http_url, self.mesh_address)

    def _publish(self) -> None:
        """Tell the mesh what this node is and serves now."""
        parts = self._parts
        state: NodeState = "draining" if self._draining else "ready"
        record = parts.directory.set_own(
            addresses=parts.links.addresses,
            roles=self._config.built_roles,
            state=state,
            models=() if self._draining else parts.catalog.models(),
            version=VERSION,
        )
        parts.table.offer(record)
        parts.directory.set_load(parts.host.load())

    async def _leave(self) -> None:
        await self._parts.table.close()
        await self._parts.directory.close()


def _usable(listening: Address, port: int) -> Address:
    """An address that programs on this machine can connect to; wildcards cannot be dialled."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listening.host, listening.host)
    return Address(host, port)
