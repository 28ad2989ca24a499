"""A few consensus cores in one process: messages in order, disks at once, time by hand."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from coordinator.consensus.entry import Entry, HardState, Members, SnapshotMark, Stored
from coordinator.consensus.membership import Change
from coordinator.consensus.parameters import Parameters
from coordinator.consensus.raft import Raft, found_group
from coordinator.consensus.ready import Fate, ReadResult, Ready
from mesh.ids import NodeId
from mesh.wire.consensus import ConsensusMessage

TIMES = Parameters()
STEP = 0.01


def node(number: int) -> NodeId:
    return NodeId(f"{number:040x}")


class Core:
    """One core and all that it has handed out."""

    def __init__(self, number: int, stored: Stored, *, now: float = 0.0, lost: int = 0) -> None:
        self.node = node(number)
        self.lost = lost
        self.hard = stored.hard
        self.mark = stored.mark
        self.log: list[Entry] = list(stored.entries)
        self.applied: list[Entry] = []
        self.fates: list[Fate] = []
        self.reads: list[ReadResult] = []
        self.readies: list[Ready] = []
        applied = stored.mark.index
        self.raft = Raft(self.node, stored, applied=applied, now=now, rng=Random(number), lost=lost)

    def keep(self, ready: Ready) -> None:
        """What a disk and a state machine would."""
        self.readies.append(ready)
        self.hard = ready.hard or self.hard
        self.lost = self.lost if ready.lost is None else ready.lost
        if ready.entries:
            del self.log[ready.entries[0].index - self.mark.index - 1 :]
            self.log += ready.entries
        self.applied += ready.committed
        self.fates += ready.fates
        self.reads += ready.reads

    @property
    def commands(self) -> list[bytes]:
        return [entry.data for entry in self.applied if entry.kind == "command"]

    def restarted(self, now: float, *, lost: int | None = None) -> Core:
        """The same disk, a new process."""
        number = int(self.node, 16)
        stored = Stored(self.hard, self.mark, tuple(self.log))
        return Core(number, stored, now=now, lost=self.lost if lost is None else lost)


class Cores:
    """Founded by number 1. `cut` holds numbers nobody hears and who hear nobody."""

    def __init__(self, count: int) -> None:
        hard, entries = found_group(node(1))
        empty = Stored(HardState(), SnapshotMark(), ())
        first = Stored(hard, SnapshotMark(), entries)
        self.now = 0.0
        self.cut: set[int] = set()
        self.watch: Callable[[int, int, ConsensusMessage], bool] = lambda sender, to, message: True
        """Sees every message; False drops it."""
        self.by_number = {n: Core(n, first if n == 1 else empty) for n in range(1, count + 1)}

    def __getitem__(self, number: int) -> Core:
        return self.by_number[number]

    def settle(self) -> None:
        """Until nobody has anything to do."""
        while sum(self._pump(number) for number in self.by_number):
            continue

    def _pump(self, number: int) -> bool:
        core, busy = self[number], False
        while (ready := core.raft.ready(self.now)) is not None:
            busy = True
            core.keep(ready)
            core.raft.saved(ready)
            for to, message in ready.at_once + ready.messages:
                self.deliver(number, int(to, 16), message)
        return busy

    def deliver(self, sender: int, to: int, message: ConsensusMessage) -> None:
        if sender in self.cut or to in self.cut or to not in self.by_number:
            return
        if self.watch(sender, to, message):
            self[to].raft.receive(message, node(sender), self.now)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self.now < end:
            self.now += STEP
            for core in list(self.by_number.values()):
                core.raft.tick(self.now)
            self.settle()

    def leader(self) -> int:
        """The only living one."""
        leads = [n for n, core in self.by_number.items() if core.raft.is_leader]
        (found,) = [n for n in leads if n not in self.cut]
        return found

    def propose(self, number: int, data: bytes) -> None:
        self[number].raft.propose(data, self.now)
        self.settle()

    def change(self, number: int, change: Change, subject: int) -> None:
        self[number].raft.change_members(change, node(subject), self.now)
        self.settle()

    def restart(self, number: int, *, lost: int | None = None) -> None:
        self.by_number[number] = self[number].restarted(self.now, lost=lost)
        self.settle()

    def members(self, number: int) -> Members:
        return self[number].raft.status(self.now).members


def grown(count: int) -> Cores:
    """A group of `count` voters, led by number 1."""
    cores = Cores(count)
    cores.run(1.0)
    for change in ("add", "promote"):
        for number in range(2, count + 1):
            cores.change(1, "add" if change == "add" else "promote", number)
            cores.run(0.1)
    assert len(cores.members(1).voters) == count
    assert cores.leader() == 1
    return cores
