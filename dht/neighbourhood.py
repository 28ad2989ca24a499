"""Keeps links to chosen neighbours and coordinators: dials them, holds their links.

Nodes that were lost are looked for as well (`dht.reunion`)."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from random import Random

from dht.directory import Directory
from dht.neighbours import COORDINATORS, TARGET, Candidate, Coordinating, plan_neighbours
from dht.reunion import Reunion
from mesh.capability import NodeRecord
from mesh.clock import Clock
from mesh.errors import LinkError
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.links.address_choice import OwnPlace, has_way
from mesh.ports import Link, Links

log = logging.getLogger(__name__)

SETTLE = 0.05
"""Seconds in which several changes are taken together."""
LOOK_EVERY = 15.0
"""Seconds between looks without any change: failed nodes may be tried again."""
DIAL_TIMEOUT = 3.0
MAX_DIALS = 4
"""Dials at one time."""
BACKOFF_FIRST = 5.0
BACKOFF_MOST = 300.0
"""Seconds a node that could not be dialled is left alone, doubled from first to most."""
MAX_FAILURES = 2_000


class Neighbourhood:
    """Call `start` after the directory's; the owner closes `tasks`."""

    def __init__(
        self,
        *,
        own: NodeId,
        directory: Directory,
        links: Links,
        clock: Clock,
        tasks: Tasks,
        rng: Random | None = None,
        target: int = TARGET,
        coordinators: int = COORDINATORS,
        place: Callable[[], OwnPlace] = OwnPlace,
    ) -> None:
        """`place`: from where this node dials."""
        self._own = own
        self._directory = directory
        self._links = links
        self._clock = clock
        self._tasks = tasks
        self._rng = rng or Random()
        self._target = target
        self._coordinators = coordinators
        self._place = place
        self._pinned: frozenset[NodeId] = frozenset()
        self._failures: OrderedDict[NodeId, tuple[int, float]] = OrderedDict()
        self._changed = asyncio.Event()
        self._reunion = Reunion(
            lost=directory.lost, links=links, clock=clock, tasks=tasks, rng=self._rng
        )

    @property
    def neighbours(self) -> frozenset[NodeId]:
        """Those chosen now; their links are pinned."""
        return self._pinned

    def start(self) -> None:
        """Begin to choose and dial."""
        self._links.watch(self._on_link)
        self._tasks.supervise(self._run, "neighbours")
        self._reunion.start()

    def wake(self) -> None:
        """The directory has changed: choose again soon."""
        self._changed.set()

    def _on_link(self, link: Link, up: bool) -> None:
        if up:
            self._failures.pop(link.peer, None)
        self._changed.set()

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            await self._choose()
            try:
                async with asyncio.timeout(LOOK_EVERY * self._rng.uniform(0.8, 1.2)):
                    await self._changed.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(SETTLE * self._rng.uniform(0.5, 1.5))

    async def _choose(self) -> None:
        plan = plan_neighbours(
            self._own,
            self._candidates(),
            self._pinned,
            self._rng,
            target=self._target,
            coordinators=self._coordinators,
        )
        for node in self._pinned - plan.keep:
            self._links.pin(node, False)
        for node in plan.keep - self._pinned:
            self._links.pin(node, True)
        self._pinned = plan.keep
        for start in range(0, len(plan.dial), MAX_DIALS):
            batch = plan.dial[start : start + MAX_DIALS]
            await asyncio.wait([self._tasks.spawn(self._dial(node), "dial") for node in batch])

    def _candidates(self) -> list[Candidate]:
        now, place = self._clock.now(), self._place()
        return [
            Candidate(
                node=peer.record.node_id,
                linked=self._links.get(peer.record.node_id) is not None,
                dialable=has_way(place, peer.record.addresses)
                and self._failures.get(peer.record.node_id, (0, 0.0))[1] <= now,
                coordinating=self._coordinating(peer.record),
            )
            for peer in self._directory.peers()
        ]

    def _coordinating(self, record: NodeRecord) -> Coordinating:
        """A record's claim is only a reason to look; the link's roles are checked by grant."""
        link = self._links.get(record.node_id)
        if link is not None:
            return "is" if "coordinator" in link.roles else "no"
        return "claims" if "coordinator" in record.roles else "no"

    async def _dial(self, node: NodeId) -> None:
        record = self._directory.record(node)
        if record is None:
            return
        try:
            link = await self._links.connect(node, record.addresses, timeout=DIAL_TIMEOUT)
            if "coordinator" in record.roles and "coordinator" not in link.roles:
                self._note_failure(node)  # it has no grant: look elsewhere for a while
        except LinkError as error:
            log.debug("a neighbour cannot be dialled node=%s cause=%s", node, error)
            self._note_failure(node)
            if "coordinator" not in record.roles:  # those may just have all the links they can hold
                self._directory.unreachable(node)

    def _note_failure(self, node: NodeId) -> None:
        count = self._failures.get(node, (0, 0.0))[0] + 1
        pause = min(BACKOFF_MOST, BACKOFF_FIRST * 2.0 ** min(count - 1, 10))
        self._failures[node] = (count, self._clock.now() + pause * self._rng.uniform(0.8, 1.2))
        self._failures.move_to_end(node)
        while len(self._failures) > MAX_FAILURES:
            self._failures.popitem(last=False)
