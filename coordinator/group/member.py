"""One member of the group at work: the core, its disk and its state machine in one loop.

The loop does what the core's Ready says, in that order. Messages and proposals only change the core
and wake the loop, so that everything which came while the disk wrote shares the next fsync.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from random import Random

from coordinator.consensus.entry import Entry, GroupStatus
from coordinator.consensus.membership import Change
from coordinator.consensus.parameters import Parameters
from coordinator.consensus.raft import Raft
from coordinator.consensus.ready import ChunkNeeded, ChunkReceived, PeerSight, Ready
from coordinator.consensus.refusal import Backlog, NotLeader
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
"""Committed entries that wait for the state machine before the leader takes no more."""
HEARD = 0.2
"""Seconds of silence after which a voter is no successor; four heartbeats."""
COMPACT_BYTES = 4 << 20
"""The log on disk is shortened whenever it grew by so much, after a snapshot."""
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
        self._unapplied_count = 0
        self._compacted_size = 0
        """Of the log on disk, right after it was shortened last."""
        self.failed = False
        self.saves = 0

    def start(self) -> None:
        """Begin to take part."""
        self._keep_links()
        self._tasks.spawn(self._guard(self._run), "member")
        self._tasks.spawn(self._guard(self._apply), "apply")

    async def close(self) -> None:
        """Close log and state. Call it when the tasks are over."""
        await self._log.close()
        await self._state.close()

    # ── what others want ────────────────────────────────────────────────────────────────────────

    def receive(self, message: ConsensusMessage, sender: NodeId) -> None:
        """A message of a member, over a link that proved who it is."""
        if self.failed:
            return
        try:
            self._raft.receive(message, sender, self._clock.now())
        except StorageError as error:  # the leader contradicts what is committed here
            self._fail(error)
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
        if self._unapplied_count >= MAX_UNAPPLIED:
            raise Backlog("too much waits to be applied")
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

    def hand_over(self) -> bool:
        """Let another voter lead, the one that has most of those that are heard.

        False where this member does not lead or has no successor. Raises NotLeader, ChangeRefused.
        """
        voters, sights = self.status().members.voters, self.sights()
        heard = {
            node: sight.behind
            for node, sight in sights.items()
            if node in voters and sight.counts and sight.silence < HEARD
        }
        if not self.leads or not heard:
            return False
        self._raft.transfer(min(heard, key=lambda node: heard[node]), self._clock.now())
        self._wake.set()
        return True

    def status(self) -> GroupStatus:
        """The group as this member sees it. One that failed knows of no leader."""
        status = self._raft.status(self._clock.now())
        return replace(status, leader=None) if self.failed else status

    def sights(self) -> dict[NodeId, PeerSight]:
        """What this member, if it leads, knows of the others."""
        return self._raft.peers(self._clock.now())

    def counters(self) -> dict[str, float]:
        """Figures for /metrics, by name."""
        status = self.status()
        return {
            "group_leads": int(self.leads),
            "group_term": status.term,
            "group_commit": status.commit,
            "group_applied": status.applied,
            "group_saves_total": self.saves,
            "group_snapshot_bytes_sent_total": self._shipping.sent_bytes,
            "group_snapshots_installed_total": self._shipping.installed,
        }

    @property
    def leads(self) -> bool:
        """Whether it leads, as far as it knows; a majority was heard within its lease."""
        return self._raft.is_leader and not self.failed

    # ── the loop ────────────────────────────────────────────────────────────────────────────────

    async def _run(self) -> None:
        while not self.failed:
            now = self._clock.now()
            self._raft.tick(now)
            ready = self._raft.ready(now)
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
        if ready.entries:  # a list of members may have come, or one that was there be overwritten
            self._keep_links()
        self._proposals.settle(ready.fates)
        self._proposals.confirm(ready.reads)
        if ready.committed:
            self._unapplied.append(ready.committed)
            self._unapplied_count += len(ready.committed)
            self._idle.clear()
            self._to_apply.set()
        for needed in ready.needed:
            self._tasks.spawn(self._ship(needed), "snapshot")

    async def _ship(self, needed: ChunkNeeded) -> None:
        try:
            await self._shipping.send(self._raft, needed, self._wake.set)
        except StorageError as error:  # asked for again; what matters is that the group goes on
            log.error("member %s gets no snapshot: %s", needed.to[:8], error)

    async def _apply(self) -> None:
        while not self.failed:
            await self._to_apply.wait()
            self._to_apply.clear()
            while self._unapplied:
                entries = self._unapplied.popleft()
                outcomes = await self._state.apply(entries)
                self._unapplied_count -= len(entries)
                self._progress.reach(entries[-1].index)
                self._proposals.applied(entries, outcomes)
            self._idle.set()
            self._wake.set()
            await self._compact()

    async def _compact(self) -> None:
        # The file being written to does not shrink: without the second size every batch from
        # here to its end would take a snapshot.
        self._compacted_size = min(self._compacted_size, self._log.size)
        if self._log.size - self._compacted_size < COMPACT_BYTES:
            return
        snapshot = await self._state.snapshot()
        mark = self._raft.compact(snapshot.index, self._clock.now())
        if mark is not None:
            await self._log.compact(mark)
            log.info("the log was shortened up to entry %d", mark.index)
        self._compacted_size = self._log.size

    async def _take_chunk(self, chunk: ChunkReceived) -> None:
        await self._idle.wait()  # what is committed is applied before the state is replaced
        mark = await self._shipping.take(chunk)
        if mark is None:
            return
        if mark.index <= self._state.applied:  # an earlier leader's came just before
            self._raft.installed(self._raft.mark_at(self._state.applied))
            return
        if not await self._shipping.install(mark):
            self._raft.refuse_snapshot()
            return
        await self._log.compact(mark)
        self._shipping.end_install()
        self._raft.installed(mark)
        self._progress.reach(mark.index)
        self._keep_links()

    def _keep_links(self) -> None:
        members = self._raft.status(self._clock.now()).members
        self._transport.keep(members.voters + members.standbys)

    async def _guard(self, run: Callable[[], Awaitable[None]]) -> None:
        """A member whose loop ended must not go on as if it had not."""
        try:
            await run()
        except StorageError as error:
            self._fail(error)
        except Exception as error:  # a bug: better silent than half alive
            log.exception("a coordinator's loop ended")
            self._fail(StorageError(f"it stopped by a mistake of its own ({error!r})"))

    def _fail(self, error: StorageError) -> None:
        if not self.failed:
            self.failed = True
            log.error("this coordinator takes no more part: %s", error)
            self._on_failure(error)
        self._wake.set()
        self._to_apply.set()
        self._idle.set()

    def _check_alive(self) -> None:
        if self.failed:
            raise NotLeader(None)
