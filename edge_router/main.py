"""Runs an edge router until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from random import Random

from aiohttp import web
from yarl import URL

from edge_router.app import EdgeRoutes, build_app
from edge_router.probe import Prober
from edge_router.registry import Registry
from mesh.clock import SystemClock
from mesh.errors import ConfigError
from mesh.lifecycle import Tasks

log = logging.getLogger(__name__)

PROBE_TICK = 30.0
"""Seconds between looks for nodes whose probe is due."""
SHUTDOWN_PATIENCE = 2.0


async def run_edge(
    host: str,
    port: int,
    *,
    trusted_proxies: Collection[str] = (),
    ready: Callable[[str], None] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve until `stop` is set or the task is cancelled; `ready` gets the URL once bound.

    Port 0 picks a free one. Raises ConfigError when the address cannot be used.
    """
    tasks = Tasks("edge")
    prober = Prober(tasks)
    routes = EdgeRoutes(
        registry=Registry(),
        reacher=prober,
        clock=SystemClock(),
        rng=Random(),
        trusted_proxies=trusted_proxies,
    )
    runner = web.AppRunner(
        build_app(routes), access_log=None, shutdown_timeout=SHUTDOWN_PATIENCE, keepalive_timeout=15
    )
    try:
        await runner.setup()
        url = await _bind(runner, host, port)
        tasks.supervise(lambda: _probe_for_ever(routes), "probe")
        log.info("edge router listens at %s", url)
        if ready is not None:
            ready(url)
        await (stop or asyncio.Event()).wait()
    finally:
        await runner.cleanup()
        await tasks.close()
        await prober.close()


async def _bind(runner: web.AppRunner, host: str, port: int) -> str:
    site = web.TCPSite(runner, host, port)
    try:
        await site.start()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError("edge", f"{host}:{port}", f"{reason}; give a free port") from None
    bound_host, bound_port = runner.addresses[0][:2]
    return str(URL.build(scheme="http", host=bound_host, port=bound_port))


async def _probe_for_ever(routes: EdgeRoutes) -> None:
    while True:
        await asyncio.sleep(PROBE_TICK)
        await routes.probe_all()
