"""Whom nodes see, asked of them over HTTP again and again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import aiohttp

from chaos.nodes import Node

POLL_SECONDS = 0.06
"""Between two looks at one node: what is measured is late by this much and one request at most."""

Seen = dict[str, dict[str, Any]]
"""Peers as GET /api/peers shows them, by node id."""


async def peers_of(session: aiohttp.ClientSession, node: Node) -> Seen:
    """Whom a node sees now."""
    async with session.get(f"{node.http}/api/peers") as answer:
        answer.raise_for_status()
        return {peer["node_id"]: peer for peer in (await answer.json())["peers"]}


async def until_seen(
    session: aiohttp.ClientSession,
    observers: Iterable[Node],
    condition: Callable[[Node, Seen], bool],
    seconds: float,
) -> list[float]:
    """When the condition first held at each observer, by time.monotonic.

    Raises TimeoutError when it does not hold everywhere within `seconds`.
    """

    async def watch(node: Node) -> float:
        while not condition(node, await peers_of(session, node)):
            await asyncio.sleep(POLL_SECONDS)
        return time.monotonic()

    async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
        watching = [group.create_task(watch(node)) for node in observers]
    return [task.result() for task in watching]


async def until_whole(
    session: aiohttp.ClientSession, nodes: Sequence[Node], seconds: float = 30.0
) -> float:
    """Return when every node sees every other, with the seconds that took."""
    began = time.monotonic()
    ids = {node.node_id for node in nodes}
    whole = await until_seen(
        session, nodes, lambda node, seen: ids - {node.node_id} <= seen.keys(), seconds
    )
    return max(whole) - began


async def missing_anywhere(
    session: aiohttp.ClientSession, nodes: Sequence[Node]
) -> list[tuple[Node, Node]]:
    """(observer, node it does not see) of all pairs, in one look."""

    async def look(node: Node) -> Seen:
        return await peers_of(session, node)

    async with asyncio.TaskGroup() as group:
        looks = [(node, group.create_task(look(node))) for node in nodes]
    return [
        (observer, node)
        for observer, task in looks
        for node in nodes
        if node is not observer and node.node_id not in task.result()
    ]


async def metric(session: aiohttp.ClientSession, node: Node, name: str) -> float:
    """A figure of a node's /metrics. Raises KeyError when it has none of that name."""
    async with session.get(f"{node.http}/metrics") as answer:
        for line in (await answer.text()).splitlines():
            if line.startswith(f"electrons_{name} "):
                return float(line.split()[-1])
    raise KeyError(name)
