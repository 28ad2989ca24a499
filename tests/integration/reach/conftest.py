"""Nodes that ask each other whether they are reached: real links on loopback.

All of 127.0.0.0/8 is this machine, but whoever dials 127.0.0.1 is seen there: a node that listens
at 127.0.0.2 is as unreachable as one behind a router.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

import pytest

from dht.dial_back import DialBack
from dht.reachability import Reachability
from mesh.clock import SystemClock
from mesh.identity.boot import Boot
from mesh.identity.keys import NodeKey
from mesh.identity.mesh import mesh_of_network
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.links.pool import LinkPool
from mesh.ports import StreamHandler, StreamKind

MESH = mesh_of_network("reach")


@dataclass
class AskingNode:
    """Links, and both sides of asking for reach."""

    links: LinkPool
    tasks: Tasks
    reach: Reachability
    dial_back: DialBack

    @property
    def id(self) -> NodeId:
        return self.links.node_id

    async def join(self, *others: AskingNode) -> None:
        for other in others:
            await self.links.connect(other.id, other.links.addresses)


class StartNode(Protocol):
    """Starts a node at a host of loopback; keywords go to Reachability.

    `answer` serves REACH streams in place of an honest dial-back.
    """

    async def __call__(
        self, host: str = "127.0.0.1", *, answer: StreamHandler | None = None, **changes: Any
    ) -> AskingNode: ...


@pytest.fixture
async def start_node() -> AsyncIterator[StartNode]:
    async with contextlib.AsyncExitStack() as stack:

        async def start(
            host: str = "127.0.0.1", *, answer: StreamHandler | None = None, **changes: Any
        ) -> AskingNode:
            links = LinkPool(
                key=NodeKey.generate(),
                mesh_id=MESH,
                boot=Boot(1, "0123456789abcdef"),
                listen=(host, 0),
            )
            await links.start()
            stack.push_async_callback(links.close)
            tasks = Tasks("reach test")
            stack.push_async_callback(tasks.close)
            dial_back = DialBack(clock=SystemClock())
            links.serve(StreamKind.REACH, answer or dial_back.serve)
            reach = Reachability(
                links=links,
                listening=lambda: links.addresses,
                clock=SystemClock(),
                tasks=tasks,
                rng=Random(1),
                **changes,
            )
            reach.start()
            return AskingNode(links, tasks, reach, dial_back)

        yield start


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
