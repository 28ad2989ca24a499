"""Has the home router forward a port to this node, when peers say that nobody gets in.

private for a while ──► ask the router ──► forwarded: peers try the outer port
                            │                 │ renewed until the node stops
                            ▼ refuses         ▼ still nobody gets in
                          wait long ◄──── taken back
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from random import Random
from typing import Protocol

from dht.reach_verdict import ReachState
from mesh.errors import ElectronsError
from mesh.lifecycle import Tasks

log = logging.getLogger(__name__)

LEASE = 3_600.0
"""Seconds a router keeps a mapping unless asked again; renewed after half. A node that is killed
leaves no hole for longer."""
SETTLE = 3.0
"""Seconds a node must have been private: the first peer asked may be alone with what it says."""
USELESS_AFTER = 60.0
"""Seconds with a mapping through which nobody comes, until it is taken back."""
RETRY_FIRST, RETRY_MOST = 600.0, 6 * 3_600.0
"""Seconds until a router that was of no use is asked again, doubled from first to most."""
OTHER_PORTS = (20_000, 60_000)
"""From which another outer port is drawn when that of the node is taken, up to so many times:"""
TRIES = 3
FAREWELL = 1.5
"""Seconds that taking back may take when the node stops."""
PERMANENT_ONLY, TAKEN = 725, 718
"""Errors of WANIPConnection:1 (2.4.16.3): only for ever, and in use for another machine."""


class RouterError(ElectronsError):
    """The router does not do it. `code` is UPnP's, 0 where there is none."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


class Router(Protocol):
    """Forwards ports of its outside address. Both raise RouterError."""

    async def open(self, port: int, outer: int, lease: float) -> None: ...

    async def close(self, outer: int) -> None: ...


class Found(Protocol):
    """What peers say of this node's reach: `dht.reachability.Reachability`."""

    @property
    def state(self) -> ReachState: ...

    def on_change(self, watcher: Callable[[], object]) -> None: ...

    def expect_port(self, port: int) -> None: ...


class PortMapping:
    """Call `start` after the reachability's and `close` at the end; the owner closes `tasks`."""

    def __init__(
        self,
        *,
        reach: Found,
        router: Router,
        port: Callable[[], int],
        tasks: Tasks,
        rng: Random | None = None,
    ) -> None:
        """`port` tells the mesh port as bound."""
        self._reach = reach
        self._router = router
        self._port = port
        self._tasks = tasks
        self._rng = rng or Random()
        self._changed = asyncio.Event()
        self.outer = 0
        """The forwarded port; 0 while there is none."""
        self.refusal = ""
        """Why the router did not do it when it was last asked."""

    def start(self) -> None:
        """Begin to watch."""
        self._reach.on_change(self._changed.set)
        self._tasks.supervise(self._run, "port mapping")

    async def close(self) -> None:
        """Take the port back, as far as FAREWELL allows. Call after `tasks` are closed."""
        outer, self.outer = self.outer, 0
        if outer:
            with contextlib.suppress(RouterError, TimeoutError):
                async with asyncio.timeout(FAREWELL):
                    await self._router.close(outer)

    async def _run(self) -> None:
        retry = RETRY_FIRST
        while True:
            await self._until(lambda: self._reach.state == "private")
            await asyncio.sleep(SETTLE)
            if self._reach.state != "private":
                continue
            if await self._open_any():
                began = asyncio.get_running_loop().time()
                if await self._is_of_use():
                    await self._keep()
                await self._give_up()
                if asyncio.get_running_loop().time() - began > RETRY_FIRST:
                    retry = RETRY_FIRST  # it was of use: the router was restarted, say
                    continue
            await asyncio.sleep(retry * self._rng.uniform(0.8, 1.2))
            retry = min(RETRY_MOST, retry * 2)

    async def _open_any(self) -> bool:
        """Whether a port is forwarded now: the node's own, or another one where that is taken."""
        outer = self._port()
        for _ in range(TRIES):
            try:
                await self._open(outer)
            except RouterError as error:
                self.refusal = str(error)
                log.info("no port from the router: %s", error)
                if error.code != TAKEN:
                    return False
                outer = self._rng.randrange(*OTHER_PORTS)
            else:
                self.refusal, self.outer = "", outer
                log.info("the router forwards port=%d", outer)
                self._reach.expect_port(outer)
                return True
        return False

    async def _open(self, outer: int) -> None:
        try:
            await self._router.open(self._port(), outer, LEASE)
        except RouterError as error:
            if error.code != PERMANENT_ONLY:
                raise
            await self._router.open(self._port(), outer, 0.0)

    async def _is_of_use(self) -> bool:
        try:
            async with asyncio.timeout(USELESS_AFTER):
                await self._until(lambda: self._reach.state in ("public", "mapped"))
        except TimeoutError:
            return False
        return True

    async def _keep(self) -> None:
        """Return when the router no longer renews, or nobody gets in any more."""
        while True:
            try:
                async with asyncio.timeout(LEASE / 2 * self._rng.uniform(0.9, 1.0)):
                    await self._until(lambda: self._reach.state == "private")
            except TimeoutError:
                try:
                    await self._open(self.outer)
                except RouterError as error:
                    log.info("the router does not renew: %s", error)
                    return
            else:
                return

    async def _give_up(self) -> None:
        outer, self.outer = self.outer, 0
        with contextlib.suppress(RouterError):
            await self._router.close(outer)
        self._reach.expect_port(0)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()
