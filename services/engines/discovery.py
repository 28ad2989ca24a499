"""Looks for engines on this machine's loopback ports."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence

import psutil

from mesh.errors import EngineUnavailable
from mesh.lifecycle import Tasks
from services.engines.engine import Engine
from services.engines.fingerprints import PORTS, EngineKind
from services.engines.recognition import NotAnEngine, engine_of, recognise

log = logging.getLogger(__name__)

Listeners = Callable[[], Mapping[int, int]]
"""Process id by listening port."""

HOST = "127.0.0.1"
SCAN_SECONDS = 4.0
"""For one whole scan; all ports are asked at once."""


class Discovery:
    """Scans when asked. Only known kinds are taken; a plain OpenAI server is merely noted."""

    def __init__(self, *, ports: Sequence[int] = PORTS, listeners: Listeners | None = None) -> None:
        self._ports = tuple(ports)
        self._listeners = listeners or owners_of_ports
        self._remarks: dict[int, str] = {}

    def notes(self) -> tuple[str, ...]:
        """What was found and not taken, for the owner."""
        return tuple(self._remarks.values())

    async def scan(self, known: Collection[str]) -> tuple[Engine, ...]:
        """Engines that answer now, each once. `known`: places (host:port) not to ask again."""
        ports = [port for port in self._ports if f"{HOST}:{port}" not in known]
        kinds = await self._recognise_all(ports)
        twins = await self._second_doors(kinds, known)
        return tuple(
            engine_of(kind, f"http://{HOST}:{port}")
            for port, kind in kinds.items()
            if port not in twins
        )

    async def _recognise_all(self, ports: Sequence[int]) -> dict[int, EngineKind]:
        tasks = Tasks("discovery")
        asked = {port: tasks.spawn(self._recognise(port), str(port)) for port in ports}
        try:
            if asked:
                await asyncio.wait(asked.values(), timeout=SCAN_SECONDS)
            done = {port: task.result() for port, task in asked.items() if task.done()}
        finally:
            await tasks.close()
        return {port: kind for port, kind in done.items() if kind is not None}

    async def _recognise(self, port: int) -> EngineKind | None:
        place = f"{HOST}:{port}"
        self._remarks.pop(port, None)
        try:
            kind = await recognise(f"http://{place}")
        except NotAnEngine as error:
            log.debug("not taken: %s", error)
            return None
        except EngineUnavailable:
            return None
        if kind == "openai":
            self._remarks[port] = (
                f"http://{place} lists models but is of no known kind; "
                f"to serve them anyway: --engine http://{place}"
            )
            return None
        return kind

    async def _second_doors(self, found: Collection[int], known: Collection[str]) -> frozenset[int]:
        """Ports of processes that listen on an earlier port too: the same engine once more."""
        earlier = [int(place.rpartition(":")[2]) for place in known if place.startswith(HOST)]
        if not found or len(found) + len(earlier) < 2:
            return frozenset()
        return twins(await asyncio.to_thread(self._listeners), earlier, found)


def twins(
    owners: Mapping[int, int], earlier: Collection[int], found: Collection[int]
) -> frozenset[int]:
    """Those of `found` whose process owns one of `earlier`, or one of `found` before them."""
    seen = {owners[port] for port in earlier if port in owners}
    second = set()
    for port in found:
        owner = owners.get(port)
        if owner is None:
            continue
        if owner in seen:
            second.add(port)
        seen.add(owner)
    return frozenset(second)


def owners_of_ports() -> Mapping[int, int]:
    """Process id by listening TCP port, as far as this user may see."""
    try:
        sockets = psutil.net_connections(kind="tcp")
    except (psutil.Error, OSError):  # macOS asks for root; then no engine is taken for a twin
        return {}
    return {
        one.laddr.port: one.pid
        for one in sockets
        if one.status == psutil.CONN_LISTEN and one.pid is not None and one.laddr
    }
