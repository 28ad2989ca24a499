"""Members, clients and their world as one sequence of events, each drawn from the seed."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import replace
from random import Random

from chaos.consensus.clients import Call, History
from chaos.consensus.invariants import Invariants, Violated
from chaos.consensus.member import TIMES, Habits, Letter, Member, ReadAsk, ReadIndex
from chaos.consensus.network import SimulatedNetwork
from coordinator.consensus.raft import Raft, found_group
from coordinator.consensus.ready import Ready
from mesh.ids import NodeId
from mesh.wire.consensus import decode, encode

MAX_EVENTS = 200_000
"""Of one episode: more means that members talk in circles."""


class Cluster:
    """A `World` for its members. Time is in seconds from 0."""

    def __init__(self, rng: Random, *, nodes: int, habits: Habits, on_wire: bool) -> None:
        self.now = 0.0
        self.rng = rng
        self.habits = habits
        self.history = History()
        self.invariants = Invariants()
        self.network = SimulatedNetwork(
            rng,
            loss=rng.choice((0.0, 0.02, 0.1)),
            doubling=rng.choice((0.0, 0.05)),
            delay=rng.choice((0.002, 0.01, 0.03)),
        )
        self._sync_seconds: dict[NodeId, float] = {}
        self._on_wire = on_wire
        self.crash_after_vote = 0.0
        """How likely a member crashes right after it has stored and sent its vote."""
        self._when_leads: Callable[[Member], None] | None = None
        self._led: set[int] = set()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._wakes: dict[NodeId, float] = {}
        self.members: dict[NodeId, Member] = {}
        batch = rng.choice((1, 2, 256))
        spread = rng.choice((0.05, 0.3))
        latest = TIMES.election_min + spread
        times = replace(TIMES, batch_entries=batch, election_max=latest)
        for number in range(1, nodes + 1):
            node = NodeId(f"{number:040x}")
            self.members[node] = Member(node, self, rate=rng.uniform(0.8, 1.2), parameters=times)
            self._sync_seconds[node] = rng.choice((0.001, 0.01, 0.05))
        self.nodes = list(self.members)

    def found(self) -> None:
        """The first member begins a group; the others wait to be added."""
        first = self.members[self.nodes[0]].disk
        hard, entries = found_group(self.nodes[0])
        first.hard, first.entries = hard, list(entries)
        for member in self.members.values():
            member.start()

    def at(self, when: float, event: Callable[[], None]) -> None:
        """Let something happen later."""
        self._count += 1
        heapq.heappush(self._events, (max(when, self.now), self._count, event))

    def run_until(self, end: float, done: Callable[[], bool] | None = None) -> bool:
        """Let events happen until a time, or until `done`; True in the second case."""
        while self._events and self._events[0][0] <= end:
            self.now, _, event = heapq.heappop(self._events)
            event()
            if done is not None and done():
                return True
            if self._count > MAX_EVENTS:
                raise Violated("members talk in circles")
        self.now = end
        return False

    def post(self, sender: NodeId, to: NodeId, letter: Letter) -> None:
        """Send a message the simulated way."""
        if to not in self.members:
            return
        if self._on_wire and not isinstance(letter, ReadAsk | ReadIndex):
            letter = decode(encode(letter))
        receiver, sent = self.members[to], letter
        for delay in self.network.arrivals(sender, to):
            self.at(self.now + delay, lambda: receiver.receive(sent, sender))

    def write_disk(self, member: Member, ready: Ready) -> None:
        """Finish a write after a while, unless the member crashes first."""
        epoch = member.epoch

        def finish() -> None:
            if member.epoch == epoch:
                member.written()
                voted = ready.hard is not None and ready.hard.vote not in (None, member.node)
                if voted and self.rng.random() < self.crash_after_vote:
                    self.crash(member, 0.002)

        self.at(self.now + self.rng.expovariate(1 / self._sync_seconds[member.node]), finish)

    def wake_at(self, member: Member, when: float) -> None:
        """Tick a member then; a wake that is planned earlier does as well."""
        planned = self._wakes.get(member.node, 0.0)
        if self.now < planned <= when:
            return
        when = max(when, self.now + 0.0001)
        self._wakes[member.node] = when

        def wake() -> None:
            if self._wakes.get(member.node) == when:
                del self._wakes[member.node]
                member.tick()

        self.at(when, wake)

    def observe(self, member: Member, ready: Ready | None) -> None:
        """Check every invariant that the event could have broken."""
        raft = member.raft
        if raft is None:
            return
        self.invariants.observe(member.node, member.epoch, raft, ready)
        if ready is not None and ready.lost and not member.was_wiped:
            raise Violated("durability: a member has less than it once acknowledged")
        if raft.is_leader and (term := raft.status(member.now).term) not in self._led:
            self._led.add(term)
            waiting, self._when_leads = self._when_leads, None
            if waiting is not None:
                waiting(member)

    def when_leads(self, then: Callable[[Member], None]) -> None:
        """Call `then` with the next new leader, before it has sent anything."""
        self._when_leads = then

    def crash(self, member: Member, away: float) -> None:
        """Let a living member crash and start again after a while."""
        if member.raft is None:
            return
        member.crash()
        epoch = member.epoch

        def restart() -> None:
            if member.epoch == epoch:
                member.start()

        self.at(self.now + away, restart)

    def leader(self) -> Member | None:
        """The living leader of the highest term."""
        leaders = [
            (member.raft.status(member.now).term, member)
            for member in self.members.values()
            if member.raft is not None and member.raft.is_leader
        ]
        return max(leaders, key=lambda item: item[0])[1] if leaders else None

    def would_be_leaders(self) -> list[tuple[Member, Raft]]:
        """All that believe they lead; those that were cut off may be wrong."""
        return [
            (member, member.raft)
            for member in self.members.values()
            if member.raft is not None and member.raft.is_leader
        ]

    def raft_of_leader(self) -> tuple[Member, Raft] | None:
        """The same, with its core."""
        member = self.leader()
        return (member, member.raft) if member is not None and member.raft is not None else None

    def call(self, call: Call, node: NodeId) -> None:
        """A client asks a member."""
        self.members[node].call(call)
