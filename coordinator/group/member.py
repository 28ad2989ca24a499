"""One member of the group at work: the core, its disk and its state machine in one loop.

The loop does what the core's Ready says, in that order. Messages and proposals only change the core
and wake the loop, so that everything which came while the disk wrote shares the next fsync.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from random import Random

from coordinator.consensus.entry import Entry, GroupStatus
from coordinator.consensus.membership import Change
from coordinator.consensus.parameters import Parameters
from coordinator.consensus.raft import Raft
from coordinator.consensus.ready import ChunkReceived, PeerSight, Ready
from coordinator.consensus.refusal import NotLeader
from coordinator.group.folder import Opened
from coordinator.group.proposals import Progress, Proposals
from coordinator.group.shipping import Shipping
from coordinator.group.transport import Transport
from mesh.clock import Clock
from mesh.errors import StorageError
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.wire.consensus import ConsensusMessage

log = logging.getLogger(__name__)

MAX_UNAPPLIED = 8192
"""Committed entries that wait for the state machine before no more are handed out."""
COMPACT_BYTES = 4 << 20
"""The log on disk is shortened from this size on, after a snapshot."""
IDLE_LOOK = 1.0
"""Seconds between looks when nothing is due."""


class Member:
    """Call `start` once; the owner closes `tasks`, then calls `close`.

    `on_failure` is told when the disk failed: the member is silent from then on.
    """

    def __init__(
        self,
        *,
        own: NodeId,
        opened: Opened,
        shipping: Shipping,
        transport: Transport,
        clock: Clock,
        rng: Random,
        tasks: Tasks,
        on_failure: Callable[[StorageError], None],
        parameters: Parameters | None = None,
    ) -> None:
        self._log, self._state = opened.log, opened.state
        self._shipping = shipping
        self._transport = transport
        self._clock = clock
        self._tasks = tasks
        self._on_failure = on_failure
        self._raft = Raft(
            own,
            opened.stored,
            applied=opened.state.applied,
            now=clock.now(),
            rng=rng,
            parameters=parameters,
            lost=opened.lost,
        )
        self._proposals = Proposals()
        self._progress = Progress(opened.state.applied)
        self._unapplied: deque[tuple[Entry, ...]] = deque()
        self._to_apply = asyncio.Event()
        self._idle = asyncio.Event()
        """Set while the state machine has nothing to do."""
        self._idle.set()
        self._wake = asyncio.Event()
        self._compacting = False
        self.failed = False
        self.saves = 0

    def start(self) -> None:
        """Begin to take part."""
        self._transport.keep(self.status().members.voters + self.status().members.standbys)
        self._tasks.spawn(self._guard(self._run), "member")
        self._tasks.spawn(self._guard(self._apply), "apply")

    async def close(self) -> None:
        """Close log and state. Call it when the tasks are over."""
        await self._log.close()
        await self._state.close()

    # ── what others want ────────────────────────────────────────────────────────────────────────

    def receive(self, message: ConsensusMessage, sender: NodeId) -> None:
        """A message of a member, over a link that proved who it is."""
        if not self.failed:
            self._raft.receive(message, sender, self._clock.now())
            self._wake.set()

    def link_changed(self, peer: NodeId, up: bool) -> None:
        """A link to a coordinator came, or broke."""
        now = self._clock.now()
        if up:
            self._raft.peer_up(peer, now)
        else:
            self._raft.peer_down(peer, now)
        self._wake.set()

    def propose(self, command: bytes) -> asyncio.Future[bytes]:
        """Put a command to the group; only the leader can. Raises NotLeader, Backlog."""
        self._check_alive()
        future = self._proposals.expect(self._raft.propose(command, self._clock.now()))
        self._wake.set()
        return future

    def read_index(self) -> asyncio.Future[int]:
        """Ask what a read must have applied; only the leader knows. Raises NotLeader, Backlog."""
        self._check_alive()
        future = self._proposals.expect_read(self._raft.read(self._clock.now()))
        self._wake.set()
        return future

    async def wait_applied(self, index: int) -> None:
        """Return when the state here contains that entry."""
        await self._progress.wait(index)

    def change(self, change: Change, node: NodeId) -> None:
        """Begin a change of the members. Raises NotLeader, Backlog or ChangeRefused."""
        self._raft.change_members(change, node, self._clock.now())
        self._wake.set()

    def hand_over(self) -> None:
        """Let another voter lead, the one that has most; nothing where this member does not."""
        status = self.status()
        others = [node for node in status.members.voters if node in status.lag]
        if self._raft.is_leader and others:
            best = min(others, key=lambda node: status.lag[node])
            self._raft.transfer(best, self._clock.now())
            self._wake.set()

    def status(self) -> GroupStatus:
        """The group as this member sees it."""
        return self._raft.status(self._clock.now())

    def sights(self) -> dict[NodeId, PeerSight]:
        """What this member, if it leads, knows of the others."""
        return self._raft.peers(self._clock.now())

    @property
    def leads(self) -> bool:
        """Whether it leads, as far as it knows; a majority was heard within its lease."""
        return self._raft.is_leader and not self.failed

    # ── the loop ────────────────────────────────────────────────────────────────────────────────

    async def _run(self) -> None:
        while True:
            now = self._clock.now()
            self._raft.tick(now)
            ready = self._raft.ready(now) if len(self._unapplied) < MAX_UNAPPLIED else None
            if ready is not None:
                await self._do(ready)
                continue
            self._wake.clear()
            try:
                async with asyncio.timeout(self._pause()):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _pause(self) -> float:
        left = self._raft.next_deadline - self._clock.now()
        return min(IDLE_LOOK, max(0.001, left))

    async def _do(self, ready: Ready) -> None:
        """One round, in the order that Ready asks for."""
        for to, message in ready.at_once:
            self._transport.send(to, message)
        if ready.hard is not None or ready.entries or ready.lost is not None:
            self.saves += 1
            await self._log.save(ready.hard, ready.entries, lost=ready.lost)
        for chunk in ready.received:
            await self._take_chunk(chunk)
        self._raft.saved(ready)
        for to, message in ready.messages:
            self._transport.send(to, message)
        if any(entry.kind == "members" for entry in ready.entries):
            members = self.status().members
            self._transport.keep(members.voters + members.standbys)
        self._proposals.settle(ready.fates)
        self._proposals.confirm(ready.reads)
        if ready.committed:
            self._unapplied.append(ready.committed)
            self._idle.clear()
            self._to_apply.set()
        for needed in ready.needed:
            self._tasks.spawn(self._shipping.send(self._raft, needed, self._wake.set), "snapshot")

    async def _apply(self) -> None:
        while True:
            await self._to_apply.wait()
            self._to_apply.clear()
            while self._unapplied:
                entries = self._unapplied.popleft()
                outcomes = await self._state.apply(entries)
                self._progress.reach(entries[-1].index)
                self._proposals.applied(entries, outcomes)
            self._idle.set()
            self._wake.set()
            await self._compact()

    async def _compact(self) -> None:
        if self._log.size < COMPACT_BYTES:
            return
        snapshot = await self._state.snapshot()
        mark = self._raft.compact(snapshot.index, self._clock.now())
        if mark is not None:
            await self._log.compact(mark)
            log.info("the log was shortened up to entry %d", mark.index)

    async def _take_chunk(self, chunk: ChunkReceived) -> None:
        await self._idle.wait()  # what is committed is applied before the state is replaced
        mark = await self._shipping.take(chunk)
        if mark is None:
            return
        if not await self._shipping.install():
            self._raft.refuse_snapshot()
            return
        await self._log.compact(mark)
        self._raft.installed(mark)
        self._progress.reach(mark.index)
        self._transport.keep(mark.members.voters + mark.members.standbys)

    async def _guard(self, run: Callable[[], Awaitable[None]]) -> None:
        """A member whose disk failed must not go on as if it had not."""
        try:
            await run()
        except StorageError as error:
            self.failed = True
            log.error("this coordinator's disk failed, it takes no more part: %s", error)
            self._on_failure(error)

    def _check_alive(self) -> None:
        if self.failed:
            raise NotLeader(None)
