"""A relay that could not be dialled is left alone for a while, unless it is linked meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from types import SimpleNamespace
from typing import Any, cast

from dht.relay_seats import BALK_SECONDS, RelaySeats
from mesh.capability import NodeRecord, Peer
from mesh.errors import DialError
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.ports import Links, LinkWatcher, View

RELAY, OWN = NodeId("1" * 40), NodeId("2" * 40)
RECORD = NodeRecord(RELAY, 1, 0.0, 60.0, ("tcp://45.1.0.10:443",), ("relay",))
LINK: Any = SimpleNamespace(peer=RELAY, roles=("relay",), closed=False)


class OneRelay:
    """Links to a relay that is dead at first."""

    def __init__(self) -> None:
        self.alive = False
        self.dials = 0
        self.watcher: LinkWatcher = lambda link, up: None

    def watch(self, watcher: LinkWatcher) -> None:
        self.watcher = watcher

    def get(self, node: NodeId) -> Any:
        return LINK if self.alive else None

    def pin(self, node: NodeId, pinned: bool = True) -> None:
        """Nothing is trimmed here."""

    async def connect(self, node: NodeId, addresses: object, *, timeout: float = 5.0) -> Any:
        self.dials += 1
        if not self.alive:
            raise DialError("nobody answers")
        return LINK


async def reserve(link: object) -> int:
    return 0


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def test_a_relay_that_is_linked_again_is_asked_at_once() -> None:
    links, tasks = OneRelay(), Tasks("test")
    standing = SimpleNamespace(now=lambda: 0.0, wall=lambda: 0.0)
    seats = RelaySeats(
        own=OWN,
        needed=lambda: True,
        view=cast(View, SimpleNamespace(peers=lambda: [Peer(RECORD)])),
        record=lambda node: RECORD,
        links=cast(Links, links),
        reserve=reserve,
        give_up=lambda node: None,
        clock=standing,
        tasks=tasks,
        rng=Random(1),
        on_change=lambda: None,
    )
    seats.start()
    try:
        await until(lambda: links.dials == 1)
        seats.wake()
        for _ in range(20):
            await asyncio.sleep(0)
        assert links.dials == 1, f"it is left alone for {BALK_SECONDS} s"
        links.alive = True
        links.watcher(LINK, True)
        await until(lambda: seats.relays == (RELAY,))
    finally:
        await tasks.close()
