"""One simulated member: the core with a disk, a drifting clock and a state machine."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from random import Random
from typing import Protocol

from chaos.consensus.clients import Call, History
from chaos.consensus.disk import SimulatedDisk
from chaos.consensus.machine import Registers, pack_write
from coordinator.consensus.entry import SnapshotMark
from coordinator.consensus.parameters import Parameters
from coordinator.consensus.raft import Raft
from coordinator.consensus.ready import ChunkNeeded, ChunkReceived, Outgoing, Position, Ready
from mesh.errors import NoQuorum
from mesh.ids import NodeId
from mesh.wire.consensus import ConsensusMessage, SnapshotChunk

CHUNK = 24
"""Bytes of a snapshot in one message: small, so that even these snapshots take several."""
TIMES = Parameters(
    heartbeat=0.08, election_min=0.3, election_max=0.6, crash_election=0.1, chunk_patience=0.2
)
"""Fewer heartbeats than in earnest, to see more else in the same time."""


@dataclass(frozen=True, slots=True)
class ReadAsk:
    """A follower's question to the leader, for a read of its own client."""

    call: int


@dataclass(frozen=True, slots=True)
class ReadIndex:
    """The answer. None: not the leader."""

    call: int
    index: int | None


Letter = ConsensusMessage | ReadAsk | ReadIndex


@dataclass(frozen=True, slots=True)
class Habits:
    """What members do wrong on purpose."""

    acknowledges_before_fsync: bool = False
    reads_as_follower: bool = False
    refuses_on_step_down: bool = False
    wipes_quietly: bool = False


class World(Protocol):
    """What a member needs of the simulation."""

    now: float
    rng: Random
    history: History
    habits: Habits

    def post(self, sender: NodeId, to: NodeId, letter: Letter) -> None: ...

    def write_disk(self, member: Member, ready: Ready) -> None: ...

    def wake_at(self, member: Member, when: float) -> None: ...

    def observe(self, member: Member, ready: Ready | None) -> None: ...


class Member:
    """Survives its crashes: the disk stays."""

    def __init__(self, node: NodeId, world: World, *, rate: float, parameters: Parameters) -> None:
        self.node = node
        self._parameters = parameters
        self.disk = SimulatedDisk()
        self.raft: Raft | None = None
        self.machine = Registers()
        self.was_wiped = False
        self.epoch = 0
        """Counts starts and crashes: what was begun before does not end after."""
        self.writing: Ready | None = None
        self._world = world
        self._rate = rate
        self._writes: dict[Position, Call] = {}
        self._reads: dict[int, Call | tuple[NodeId, int]] = {}
        self._asked: dict[int, Call] = {}
        self._waiting: list[tuple[int, Call]] = []
        self._snapshots: dict[NodeId, tuple[SnapshotMark, bytes]] = {}
        self._incoming = bytearray()

    @property
    def now(self) -> float:
        """By its own clock, which runs too fast or too slow."""
        return 1000.0 + self._world.now * self._rate

    def start(self) -> None:
        """From what is on the disk."""
        self.epoch += 1
        self.machine = Registers(self.disk.machine)
        self.raft = Raft(
            self.node,
            self.disk.load(),
            applied=self.machine.applied,
            now=self.now,
            rng=Random(self._world.rng.random()),
            parameters=self._parameters,
            lost=self.disk.lost,
        )
        self.pump()

    def crash(self) -> None:
        """Everything but the disk is gone."""
        if self.writing is not None:
            self.disk.tear(self.writing, self._world.rng)
        self.epoch += 1
        self.raft = self.writing = None
        waiting = [call for _, call in self._waiting] + list(self._asked.values())
        reads = [call for call in self._reads.values() if isinstance(call, Call)]
        for call in [*self._writes.values(), *reads, *waiting]:
            self._world.history.forget(call)
        for part in (self._writes, self._reads, self._asked, self._waiting, self._snapshots):
            part.clear()
        self._incoming.clear()

    def receive(self, letter: Letter, sender: NodeId) -> None:
        """A message arrives."""
        if self.raft is None:
            return
        if isinstance(letter, ReadAsk):
            self._answer_read(self.raft, letter, sender)
        elif isinstance(letter, ReadIndex):
            self._take_read(letter.call, letter.index)
        else:
            self.raft.receive(letter, sender, self.now)
        self.pump()

    def tick(self) -> None:
        """Time passes."""
        if self.raft is not None:
            self.raft.tick(self.now)
            self.pump()

    def call(self, call: Call) -> None:
        """A client asks."""
        if self.raft is None:
            self._world.history.refuse(call)
            return
        try:
            self._begin(self.raft, call)
        except NoQuorum:
            self._world.history.refuse(call)
        self.pump()

    def _begin(self, raft: Raft, call: Call) -> None:
        leader = raft.status(self.now).leader
        if call.kind == "write":
            assert call.value is not None
            position = raft.propose(pack_write(call.key, call.value), self.now)
            self._writes[position] = call
        elif self._world.habits.reads_as_follower:
            self._world.history.finish(call, self.machine.values.get(call.key))
        elif raft.is_leader:
            self._reads[raft.read(self.now)] = call
        elif leader is not None:
            self._asked[call.number] = call
            self._world.post(self.node, leader, ReadAsk(call.number))
        else:
            self._world.history.refuse(call)

    def _answer_read(self, raft: Raft, ask: ReadAsk, sender: NodeId) -> None:
        try:
            self._reads[raft.read(self.now)] = (sender, ask.call)
        except NoQuorum:
            self._world.post(self.node, sender, ReadIndex(ask.call, None))

    def _take_read(self, number: int, index: int | None) -> None:
        call = self._asked.pop(number, None)
        if call is None:
            return
        if index is None:
            self._world.history.refuse(call)
        else:
            self._waiting.append((index, call))
            self._answer_waiting()

    def pump(self) -> None:
        """Do what the core wants, up to the next disk write."""
        raft, world = self.raft, self._world
        if raft is None:
            return
        was_leader = raft.is_leader
        while self.writing is None and (ready := raft.ready(self.now)) is not None:
            world.observe(self, ready)
            self._send(ready.at_once)
            if world.habits.acknowledges_before_fsync:
                self._send(ready.messages)
            if ready.hard or ready.entries or ready.received or ready.lost is not None:
                self.writing = ready
                world.write_disk(self, ready)
            else:
                self._settle(raft, ready)
        world.observe(self, None)
        if world.habits.refuses_on_step_down and was_leader and not raft.is_leader:
            self._refuse_all()
        world.wake_at(self, world.now + (raft.next_deadline - self.now) / self._rate)

    def written(self) -> None:
        """The disk is done."""
        ready, self.writing = self.writing, None
        assert ready is not None and self.raft is not None
        self.disk.save(ready)
        self._settle(self.raft, ready)
        self.pump()

    def _settle(self, raft: Raft, ready: Ready) -> None:
        raft.saved(ready)
        if not self._world.habits.acknowledges_before_fsync:
            self._send(ready.messages)
        for entry in ready.committed:
            self.machine.apply(entry)
        for fate in ready.fates:
            call = self._writes.pop(fate.position, None)
            if call is not None:
                self._end_write(call, fate.outcome)
        for result in ready.reads:
            self._end_read(self._reads.pop(result.read), result.index)
        for received in ready.received:
            self._take_chunk(raft, received)
        for needed in ready.needed:
            self._give_chunk(raft, needed)
        self._answer_waiting()

    def _send(self, outgoing: tuple[Outgoing, ...]) -> None:
        for to, message in outgoing:
            self._world.post(self.node, to, message)

    def _end_write(self, call: Call, outcome: str) -> None:
        history = self._world.history
        if outcome == "applied":
            history.finish(call)
        elif outcome == "superseded":
            history.refuse(call)
        else:
            history.forget(call)

    def _refuse_all(self) -> None:
        for call in self._writes.values():
            self._world.history.refuse(call)

    def _end_read(self, asked: Call | tuple[NodeId, int], index: int | None) -> None:
        if not isinstance(asked, Call):
            self._world.post(self.node, asked[0], ReadIndex(asked[1], index))
        elif index is None:
            self._world.history.refuse(asked)
        else:
            self._waiting.append((index, asked))

    def _answer_waiting(self) -> None:
        for index, call in self._waiting:
            if index <= self.machine.applied:
                self._world.history.finish(call, self.machine.values.get(call.key))
        applied = self.machine.applied
        self._waiting = [item for item in self._waiting if item[0] > applied]

    def compact(self, keep: int) -> None:
        """Write the state machine out and forget the log but for `keep` entries."""
        if self.raft is None or self.writing is not None:
            return
        mark = self.raft.compact(self.machine.applied - keep, self.now)
        if mark is not None:
            self.disk.compact(mark, self.machine.pack())

    def _give_chunk(self, raft: Raft, needed: ChunkNeeded) -> None:
        kept = self._snapshots.get(needed.to)
        if needed.mark is None:
            kept = (raft.mark_at(self.machine.applied), self.machine.pack())
            self._snapshots[needed.to] = kept
        if kept is None or (needed.mark is not None and kept[0].index != needed.mark.index):
            raft.restart_snapshot(needed.to)
            return
        mark, whole = kept
        data = whole[needed.offset : needed.offset + CHUNK]
        done = needed.offset + len(data) == len(whole)
        digest = hashlib.sha256(whole).digest()
        raft.send_chunk(needed.to, SnapshotChunk(0, mark, digest, needed.offset, data, done))

    def _take_chunk(self, raft: Raft, received: ChunkReceived) -> None:
        if received.offset == 0:
            self._incoming.clear()
        self._incoming += received.data
        if not received.done:
            return
        whole = bytes(self._incoming)
        if hashlib.sha256(whole).digest() != received.digest:
            raft.refuse_snapshot()
            return
        if received.mark.index > self.machine.applied:
            self.machine = Registers(whole)
            self.disk.compact(received.mark, whole)
            raft.installed(received.mark)
        else:
            raft.installed(raft.mark_at(self.machine.applied))

    def wipe(self, nonce: int) -> None:
        """The disk is replaced by an empty one; `nonce` makes the member say so."""
        self.disk = SimulatedDisk(lost=nonce)
        self.was_wiped = True
