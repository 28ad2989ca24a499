"""A node's life: what starts and stops in which order, and what it says of itself meanwhile."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace

from mesh.capability import NodeState, Resources, Role
from mesh.lifecycle import Tasks
from mesh.links.pool import LinkPool
from mesh.version import VERSION
from node.admissions import NodeAdmissions
from node.assigning import take_stock
from node.banner import Banner
from node.belonging import Belonging
from node.config import Config
from node.config_addresses import Address
from node.coordinating import Coordinating
from node.door.doors import Doors
from node.gateway.gateway import Gateway
from node.parts import Discovery, Work
from node.report import Report
from node.succession import copy_listening

log = logging.getLogger(__name__)

STATE_EVERY = 1.0
"""Seconds between looks at this node's own health."""


class ElectronsNode:
    """Implements node.daemon.Node."""

    def __init__(
        self,
        *,
        config: Config,
        roles: tuple[Role, ...],
        inherited: socket.socket | None,
        token: str,
        links: LinkPool,
        discovery: Discovery,
        belonging: Belonging,
        admissions: NodeAdmissions | None,
        work: Work,
        report: Report,
        gateway: Gateway,
        doors: Doors,
        coordinating: Coordinating | None,
        tasks: Tasks,
    ) -> None:
        self._config = config
        self._roles = roles
        self._inherited = inherited
        self._links = links
        self._discovery = discovery
        self._belonging = belonging
        self._admissions = admissions
        self._work = work
        self._report = report
        self._gateway = gateway
        self._doors = doors
        self._coordinating = coordinating
        self._tasks = tasks
        self._closing = AsyncExitStack()
        self._draining = False
        self._told: tuple[NodeState, str] = ("starting", "")
        self._given = Resources()
        self.token = token

    @property
    def node_id(self) -> str:
        return self._links.node_id

    @property
    def http_url(self) -> str:
        if self._gateway.beside:
            return f"http://127.0.0.1:{self._gateway.beside}"
        return f"http://{_usable(self._config.http, self._gateway.port)}"

    @property
    def mesh_address(self) -> str:
        return str(_usable(self._config.mesh, self._links.port))

    async def start(self) -> None:
        """Bind, probe, then look for peers in the background. Raises OSError, ElectronsError."""
        discovery, work, closing = self._discovery, self._work, self._closing
        if self._coordinating is not None:
            closing.push_async_callback(self._coordinating.coordination.close)
        closing.push_async_callback(discovery.reach.close)
        closing.push_async_callback(self._tasks.close)
        closing.push_async_callback(self._links.close)
        await self._links.start()
        closing.push_async_callback(work.catalog.close)
        probing = self._tasks.spawn(self._report.probe(), "hardware")
        work.catalog.on_change(self._publish)
        work.activation.on_change(self._publish)
        work.comfort.on_change(self._publish)
        await work.catalog.start()
        discovery.reach.known.on_change(self._publish)
        self._publish()
        discovery.reach.start()
        discovery.relays.start()
        work.host.start()
        work.comfort.start()
        work.dispatch.start()
        self._belonging.standing.watch(self._publish)
        self._belonging.start()
        if self._admissions is not None:
            self._admissions.start()
        discovery.directory.start()
        discovery.table.start()
        discovery.registry.start()
        if self._coordinating is not None:
            await self._coordinating.start()
        self._tasks.supervise(self._watch_state, "state")
        closing.push_async_callback(self._leave)
        discovery.neighbourhood.start()
        closing.push_async_callback(self._gateway.close)
        address = self._config.http
        await self._gateway.start(
            address.host, address.port, inherited=self._inherited, tls=self._config.tls_files()
        )
        closing.push_async_callback(self._doors.close)
        await self._doors.start()
        await probing
        await take_stock(work.activation, self._report.hardware, self._config)
        closing.push_async_callback(discovery.bootstrap.close)
        discovery.bootstrap.start()
        discovery.announcer.start()

    async def drain(self, deadline_seconds: float) -> None:
        """Tell the mesh, take no new jobs, wait for the running ones."""
        host = self._work.host
        self._draining = self._report.draining = host.draining = True
        self._publish()
        try:
            async with asyncio.timeout(deadline_seconds):
                await self._gateway.close(deadline_seconds)
                await host.wait_idle()
        except TimeoutError:
            log.warning("%d jobs were cut off", host.in_flight)

    async def hand_over(self, patience: float) -> Mapping[str, int]:
        """Finish what was promised, `patience` seconds at most; listening sockets by name.

        The sockets are copies that stay open: who connects meanwhile waits for the successor.
        """
        listening = {
            "http": self._gateway.descriptors,
            "mesh": self._links.descriptors,
            "door": self._doors.descriptors,
        }
        copies = {name: copy_listening(numbers) for name, numbers in listening.items()}
        host = self._work.host
        try:
            async with asyncio.timeout(patience):
                if self._discovery.directory.view.models():  # others serve: they take what comes
                    self._draining = self._report.draining = host.draining = True
                    self._publish()
                    await host.wait_idle()
                await self._gateway.close(patience)
                self._draining = self._report.draining = host.draining = True
                await host.wait_idle()
        except TimeoutError:
            log.warning("%d jobs were cut off", host.in_flight)
        return {name: number for name, number in copies.items() if number is not None}

    async def stop(self) -> None:
        """In the reverse order of the start."""
        await self._closing.aclose()

    async def wait_failed(self) -> None:
        """A node's parts are restarted when they crash; nothing ends it from inside."""
        await asyncio.Event().wait()

    def state(self) -> str:
        return self._report.state()

    def banner(self) -> Banner:
        banner = self._report.banner(self.http_url, self.mesh_address)
        if not self._gateway.beside:
            return banner
        return replace(banner, https=f"https://{_usable(self._config.http, self._gateway.port)}")

    def _publish(self) -> None:
        """Tell the mesh what this node is and serves now."""
        directory, work = self._discovery.directory, self._work
        state, reason = self._report.own_state()
        record = directory.set_own(
            addresses=self._discovery.reach.known.addresses,
            roles=self._discovery.relays.tell_roles(self._roles),
            state=state,
            models=() if self._draining else work.catalog.models(),
            version=VERSION,
            resources=work.activation.resources,
            runnable=work.activation.runnable(),
            reason=reason,
            grants=self._belonging.standing.grants,
        )
        self._told = state, reason
        self._given = work.activation.resources
        self._discovery.table.offer(record, reachable=self._discovery.reach.known.reachable)
        directory.set_load(work.host.load())

    async def _watch_state(self) -> None:
        """Publish when this node's own health changes, which nobody announces."""
        while True:
            await asyncio.sleep(STATE_EVERY)
            given = self._work.activation.resources
            if (self._report.own_state(), given) != (self._told, self._given):
                self._publish()

    async def _leave(self) -> None:
        if self._coordinating is not None:
            await self._coordinating.coordination.hand_over()
        await self._discovery.table.close()
        await self._discovery.directory.close()


def _usable(listening: Address, port: int) -> Address:
    """An address that programs on this machine can connect to; wildcards cannot be dialled."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listening.host, listening.host)
    return Address(host, port)
