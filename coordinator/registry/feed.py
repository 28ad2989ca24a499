"""Follows coordinators' registries, and moves to another coordinator when one is lost.

A gateway follows one; a coordinator follows all others, each for the nodes linked there. What was
learned stays while another is asked, so nothing disappears in between.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from functools import partial

from coordinator.registry.choice import choose_coordinators
from coordinator.registry.known_nodes import KnownNodes
from dht.vet import Vet, believe_all
from mesh.clock import Clock
from mesh.errors import LinkError, RecordRejected, WireError
from mesh.ids import MeshId, NodeId
from mesh.lifecycle import Tasks
from mesh.ports import Link, Links, Stream, StreamKind
from mesh.wire.records import open_node, peek_node
from mesh.wire.registry import (
    Delta,
    Opening,
    Scope,
    Subscribe,
    decode_delta,
    decode_opening,
    encode,
)

log = logging.getLogger(__name__)

MOST_FOLLOWED = 16
"""Coordinators that another coordinator follows."""
OPENING_TIMEOUT = 3.0
LOOK_EVERY = 5.0
"""Seconds between looks for coordinators without any link coming or going."""
REST = 5.0
MAX_RESTING = 64
"""Seconds that a coordinator which did not serve is left alone, and how many are remembered."""
TICK = 0.25
EXPIRE_EVERY = 30.0
CHECKS_AT_ONCE = 8
"""Signatures checked (170 us each) before others get a turn on the event loop."""

NOBODY = "no coordinator answers; serving from the directory"


class RegistryFeed:
    """Call `start` after the directory's; the owner closes `tasks`."""

    def __init__(
        self,
        *,
        own: NodeId,
        mesh_id: MeshId,
        known: KnownNodes,
        links: Links,
        clock: Clock,
        tasks: Tasks,
        coordinator: bool = False,
        expected: bool = False,
        vet: Vet = believe_all,
    ) -> None:
        """`coordinator`: this node is one itself. `expected`: the mesh is one that has some.

        `vet` refuses records of nodes that take no part in the mesh.
        """
        self._vet = vet
        self._own = own
        self._mesh_id = mesh_id
        self._known = known
        self._links = links
        self._clock = clock
        self._tasks = tasks
        self._scope = Scope.LINKED if coordinator else Scope.ALL
        self._most = MOST_FOLLOWED if coordinator else 1
        self._expected = expected
        self._following: dict[NodeId, asyncio.Task[None]] = {}
        self._current: set[NodeId] = set()
        self._versions: dict[NodeId, tuple[bytes, int]] = {}
        """Of coordinators whose list is remembered."""
        self._resting: OrderedDict[NodeId, float] = OrderedDict()
        self._changed = asyncio.Event()
        self.refused = 0
        """Records that were not believed."""

    def start(self) -> None:
        """Follow coordinators whenever one is linked."""
        self._links.watch(self._on_link)
        self._tasks.supervise(self._run, "registry feed")
        self._tasks.supervise(self._keep_time, "registry time")

    @property
    def following(self) -> tuple[NodeId, ...]:
        """Coordinators whose registry is followed and up to date."""
        return tuple(self._current)

    def note(self) -> str:
        """What the owner should know; "" when all is well or no coordinator was to be expected."""
        if self._current or not self._expected or self._scope is Scope.LINKED:
            return ""
        return NOBODY

    def _on_link(self, link: Link, up: bool) -> None:
        if "coordinator" in link.roles:
            self._expected = True
            self._changed.set()

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            self._follow_chosen()
            try:
                async with asyncio.timeout(LOOK_EVERY):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _follow_chosen(self) -> None:
        linked = {link.peer: link for link in self._links.all() if "coordinator" in link.roles}
        chosen = choose_coordinators(
            self._own,
            linked.keys(),
            self._following.keys(),
            self._resting,
            self._clock.now(),
            most=self._most,
        )
        for node in chosen:
            if node not in self._following and len(self._following) < self._most:
                task = self._tasks.spawn(self._follow(linked[node]), "follow")
                self._following[node] = task
                task.add_done_callback(partial(self._left, node))

    def _left(self, node: NodeId, task: asyncio.Task[None]) -> None:
        """A feed has ended, however it did."""
        self._following.pop(node, None)
        self._current.discard(node)
        self._known.ended(node)
        self._changed.set()

    async def _follow(self, link: Link) -> None:
        """Follow one coordinator until its link or stream ends."""
        stream: Stream | None = None
        try:
            stream = link.open(StreamKind.REGISTRY)
            opening = await self._subscribe(link.peer, stream)
            self._known.opened(link.peer, full=opening.full)
            await self._take_deltas(link.peer, stream, opening.registry)
        except (LinkError, TimeoutError, WireError) as error:
            log.info("registry feed ended node=%s cause=%s", link.peer, error)
            if not link.closed:
                self._rest(link.peer)
        finally:
            if stream is not None:
                stream.reset()

    async def _subscribe(self, coordinator: NodeId, stream: Stream) -> Opening:
        registry, version = self._versions.get(coordinator, (b"", 0))
        if not self._known.can_resume(coordinator):
            registry, version = b"", 0
        await stream.send(encode(Subscribe(registry, version, self._scope)))
        async with asyncio.timeout(OPENING_TIMEOUT):
            data = await stream.receive()
        if data is None:
            raise WireError("a registry stream ended before it began")
        return decode_opening(data)

    async def _take_deltas(self, coordinator: NodeId, stream: Stream, registry: bytes) -> None:
        while (data := await stream.receive()) is not None:
            delta = decode_delta(data)
            await self._take(coordinator, delta)
            if delta.version is not None:
                self._versions[coordinator] = registry, delta.version
                self._known.caught_up(coordinator)
                self._current.add(coordinator)

    async def _take(self, coordinator: NodeId, delta: Delta) -> None:
        checks = 0
        for remaining, data in delta.records:
            node, seq = peek_node(data)
            if self._known.listed(coordinator, node, seq, remaining):
                self._check(coordinator, data, remaining)
                checks += 1
                if checks % CHECKS_AT_ONCE == 0:
                    await asyncio.sleep(0)
        for node, load in delta.loads:
            self._known.loaded(node, load)
        for node, seq in delta.lost:
            self._known.lost(coordinator, node, seq, decided=self._scope is Scope.ALL)
        for node in delta.dropped:
            self._known.dropped(coordinator, node)

    def _check(self, coordinator: NodeId, data: bytes, remaining: float) -> None:
        try:
            signed = open_node(data, self._mesh_id, self._clock.wall())
            self._vet(signed.record.node_id, signed.record.grants)
        except (WireError, RecordRejected) as error:
            self.refused += 1
            log.debug("refused a record from %s: %s", coordinator[:8], error)
            return
        self._known.take(coordinator, signed, remaining)

    def _rest(self, coordinator: NodeId) -> None:
        self._resting[coordinator] = self._clock.now() + REST
        self._resting.move_to_end(coordinator)
        while len(self._resting) > MAX_RESTING:
            self._resting.popitem(last=False)

    async def _keep_time(self) -> None:
        ticks = 0
        while True:
            await asyncio.sleep(TICK)
            self._known.tick()
            ticks += 1
            if ticks * TICK >= EXPIRE_EVERY:
                ticks = 0
                self._known.expire()
                for node in [n for n in self._versions if not self._known.can_resume(n)]:
                    del self._versions[node]
