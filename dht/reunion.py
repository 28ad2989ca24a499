"""Finds lost nodes again, and with one of them the part of the mesh it is in.

When a network falls apart each part believes the other lost, and nobody chooses a lost node as a
neighbour. So every node dials a lost one now and then: one link between two parts is enough, since
all that both know travels over it. Meant for parts that come back; whoever is alone climbs the
bootstrap's ladder.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from random import Random

from mesh.capability import NodeRecord
from mesh.clock import Clock
from mesh.errors import LinkError
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.ports import Links

log = logging.getLogger(__name__)

TICK = 1.0
"""Seconds between looks at who is lost."""
SHARE = 0.25
"""A node waits this share of the time since the last loss before it dials again: an outage of ten
seconds is noticed as over after two or three, and many dead nodes cost less and less."""
PAUSE_LEAST, PAUSE_MOST = 1.0, 60.0
DIAL_TIMEOUT = 2.0


def choose_pause(since_loss: float, rng: Random) -> float:
    """Seconds until the next dial, when the newest loss is so long ago."""
    pause = min(PAUSE_MOST, max(PAUSE_LEAST, SHARE * since_loss))
    return pause * rng.uniform(0.5, 1.0)


class Reunion:
    """`lost` tells the records of nodes believed lost; they end with the records' time."""

    def __init__(
        self,
        *,
        lost: Callable[[], Sequence[NodeRecord]],
        links: Links,
        clock: Clock,
        tasks: Tasks,
        rng: Random,
    ) -> None:
        self._lost = lost
        self._links = links
        self._clock = clock
        self._tasks = tasks
        self._rng = rng
        self._known: frozenset[NodeId] = frozenset()
        """Who was lost at the last look."""
        self._last_loss = 0.0
        self._next = 0.0

    def start(self) -> None:
        """Begin to look; the owner closes `tasks`."""
        self._tasks.supervise(self._run, "reunion")

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(TICK * self._rng.uniform(0.8, 1.2))
            record = self._choose(self._clock.now())
            if record is not None:
                await self._dial(record)

    def _choose(self, now: float) -> NodeRecord | None:
        """Whom to dial now; None when nobody is lost or it is not time yet."""
        lost = [record for record in self._lost() if record.addresses]
        nodes = frozenset(record.node_id for record in lost)
        if nodes - self._known:
            self._last_loss = now
            self._next = min(self._next, now + choose_pause(0.0, self._rng))
        self._known = nodes
        if not lost or now < self._next:
            return None
        self._next = now + choose_pause(now - self._last_loss, self._rng)
        return self._rng.choice(lost)

    async def _dial(self, record: NodeRecord) -> None:
        try:
            await self._links.connect(record.node_id, record.addresses, timeout=DIAL_TIMEOUT)
        except LinkError as error:
            log.debug("a lost node stays lost node=%s cause=%s", record.node_id, error)
        else:
            log.info("a lost node was found again node=%s", record.node_id)
