"""This node's part in the assignment of services: what it could run, and whom it follows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psutil

from mesh.clock import Clock
from mesh.lifecycle import Tasks
from node.config import Config
from node.hardware.hardware import Hardware
from node.resources import given_resources
from services.activation import Activation
from services.catalog import Catalog
from services.host import Host
from services.limits import Limits
from services.startable import demo_startable, find_gguf, publishable


def build_activation(
    *,
    catalog: Catalog,
    host: Host,
    limits: Callable[[], Limits],
    assignable: bool,
    clock: Clock,
    tasks: Tasks,
) -> Activation:
    """Engines that a leader has started here, over the node's catalog."""
    return Activation(
        shelf=catalog,
        busy_with=host.busy_with,
        available_memory=lambda: int(psutil.virtual_memory().available),
        limits=limits,
        clock=clock,
        tasks=tasks,
        assignable=assignable,
    )


async def take_stock(activation: Activation, hardware: Hardware | None, config: Config) -> None:
    """Say what this node could run: the demo model, and the GGUF files of `models_dir`."""
    resources = given_resources(hardware)
    startables = [demo_startable(config.slots, config.demo_rate)]
    if config.models_dir is not None:
        startables += await asyncio.to_thread(find_gguf, config.models_dir, resources)
    activation.hold(publishable(startables), resources)
