"""The working state of one computation: who sits where, what room is left, undo of trials."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from coordinator.assignment.placement import (
    COUNTED,
    Assignment,
    Placement,
    PlacementState,
)
from coordinator.assignment.supply import Supply
from mesh.ids import NodeId
from mesh.room import NOTHING, Need, Room, fits
from mesh.targets import ServiceTarget

LATE_SECONDS = 20.0
"""A start that takes longer no longer counts while nobody serves: another node starts it too."""
MAX_LATE = 3
"""Slow starts of one service that are hedged so."""


@dataclass(eq=False, slots=True)
class Seat:
    """A placement that can still change. `target` None: its service is no longer asked for."""

    target: ServiceTarget | None
    service: str
    model: str
    engine: str
    node: NodeId
    state: PlacementState
    since: float
    changed: float


@dataclass(frozen=True, slots=True)
class Holder:
    """A node that could run a service when empty, and what that takes there."""

    supply: Supply
    need: Need


class Board:
    """Seats by service and by node. Every change goes through `add` and `change`."""

    def __init__(
        self, targets: Iterable[ServiceTarget], supplies: Iterable[Supply], now: float
    ) -> None:
        self.now = now
        self.targets = sorted(targets, key=lambda target: (target.priority, target.name))
        self.by_name = {target.name: target for target in self.targets}
        self.supplies = {
            supply.node: supply for supply in sorted(supplies, key=lambda each: each.node)
        }
        self.effort = 0
        """Nodes looked at while trying to make room."""
        self._seats: dict[str, list[Seat]] = {}
        self._by_node: dict[NodeId, list[Seat]] = {}
        self._holders: dict[str, list[Holder]] = {}
        self._servers: dict[str, list[Supply]] = {}
        self._holding: dict[str, list[Supply]] = {}
        self._then: dict[NodeId, Room] = {}
        self._now: dict[NodeId, Room] = {}
        self._journal: list[tuple[Seat, PlacementState | None, float]] = []
        asked_for = {target.model for target in self.targets}
        for supply in self.supplies.values():
            for model in asked_for & supply.served.keys():
                self._servers.setdefault(model, []).append(supply)
            for model in asked_for & supply.runnable.keys():
                self._holding.setdefault(model, []).append(supply)

    # ── questions ───────────────────────────────────────────────────────────────────────────────

    def seats(self, service: str) -> Sequence[Seat]:
        """Every seat of a service."""
        return self._seats.get(service, ())

    def on(self, node: NodeId) -> Sequence[Seat]:
        """Every seat on a node, in the order they were taken."""
        return self._by_node.get(node, ())

    def seat(self, service: str, node: NodeId) -> Seat | None:
        """The seat of a service on a node."""
        return next((each for each in self.on(node) if each.service == service), None)

    def every(self) -> Iterable[Seat]:
        """All seats."""
        return (seat for seats in self._seats.values() for seat in seats)

    def load(self, node: NodeId) -> int:
        """Services that count on a node."""
        return sum(seat.state in COUNTED for seat in self.on(node))

    def holders(self, target: ServiceTarget) -> Sequence[Holder]:
        """Nodes that hold the model and have the hardware for it, were they empty."""
        found = self._holders.get(target.name)
        if found is None:
            found = [
                Holder(supply, need_on(supply, target))
                for supply in self._holding.get(target.model, ())
                if target.engine in ("", supply.runnable[target.model].engine)
            ]
            found = [one for one in found if fits(one.supply.resources, one.need)]
            self._holders[target.name] = found
        return found

    def servers(self, target: ServiceTarget) -> Sequence[Supply]:
        """Nodes that serve the model now, in whatever way."""
        found = self._servers.get(target.model, ())
        return [supply for supply in found if supply.serves(target.model, target.engine)]

    def own_servers(self, target: ServiceTarget) -> int:
        """Nodes that serve the model by themselves, always."""
        return sum(
            supply.eligible and target.model not in supply.runnable
            for supply in self.servers(target)
        )

    def probed(self, target: ServiceTarget) -> int:
        """Providers to count on that were seen serving."""
        serving = sum(seat.state == "serving" for seat in self.seats(target.name))
        return self.own_servers(target) + serving

    def count(self, target: ServiceTarget) -> int:
        """Providers to count on, starting ones included unless they are late and nobody serves."""
        counted = [seat for seat in self.seats(target.name) if seat.state in COUNTED]
        total = self.own_servers(target) + len(counted)
        if self.probed(target):
            return total
        late = sum(self.is_late(seat) for seat in counted)
        return total - min(late, MAX_LATE)

    def is_late(self, seat: Seat) -> bool:
        """A start that takes long."""
        return seat.state == "starting" and self.now - seat.changed > LATE_SECONDS

    def then(self, node: NodeId) -> Room:
        """What is left once everything that leaves has left and everything that waits has come."""
        room = self._then.get(node)
        if room is None:
            room = self._then[node] = self._room(node, {"waiting", "starting", "serving"})
        return room

    def at_present(self, node: NodeId) -> Room:
        """What is left now."""
        room = self._now.get(node)
        if room is None:
            states: set[PlacementState] = {"starting", "serving", "leaving", "draining"}
            room = self._now[node] = self._room(node, states)
        return room

    def need(self, seat: Seat) -> Need:
        """What a seat takes on its node."""
        supply = self.supplies[seat.node]
        if seat.target is not None:
            return need_on(supply, seat.target)
        runnable = supply.runnable.get(seat.model)
        return NOTHING if runnable is None else Need(runnable.memory, runnable.gpu_memory)

    # ── changes ─────────────────────────────────────────────────────────────────────────────────

    def add(self, seat: Seat) -> None:
        """Take a seat."""
        self._seats.setdefault(seat.service, []).append(seat)
        self._by_node.setdefault(seat.node, []).append(seat)
        self._journal.append((seat, None, 0.0))
        self._forget_room(seat.node)

    def change(self, seat: Seat, state: PlacementState) -> None:
        """Bring a seat into another state, now."""
        self._journal.append((seat, seat.state, seat.changed))
        seat.state, seat.changed = state, self.now
        self._forget_room(seat.node)

    def drop(self, seat: Seat) -> None:
        """Give a seat up for good; not undone by `rollback`."""
        self._seats[seat.service].remove(seat)
        self._by_node[seat.node].remove(seat)
        self._forget_room(seat.node)

    def mark(self) -> int:
        """A point to come back to."""
        return len(self._journal)

    def rollback(self, mark: int) -> None:
        """Undo every `add` and `change` since."""
        while len(self._journal) > mark:
            seat, state, changed = self._journal.pop()
            if state is None:
                self.drop(seat)
            else:
                seat.state, seat.changed = state, changed
                self._forget_room(seat.node)

    def assignment(self) -> Assignment:
        """What came out."""
        placements = [
            Placement(
                seat.service,
                seat.model,
                seat.engine,
                seat.node,
                seat.state,
                seat.since,
                seat.changed,
            )
            for seat in self.every()
        ]
        return Assignment(tuple(sorted(placements, key=lambda each: (each.service, each.node))))

    def _room(self, node: NodeId, states: set[PlacementState]) -> Room:
        room = Room(self.supplies[node].resources)
        for seat in self.on(node):
            if seat.state in states:
                room.take(seat.model, self.need(seat))
        return room

    def _forget_room(self, node: NodeId) -> None:
        self._then.pop(node, None)
        self._now.pop(node, None)


def need_on(supply: Supply, target: ServiceTarget) -> Need:
    """The larger of what the service is declared to need and what the node says it takes."""
    runnable = supply.runnable.get(target.model)
    if runnable is None:
        return Need(target.memory, target.gpu_memory)
    return Need(max(target.memory, runnable.memory), max(target.gpu_memory, runnable.gpu_memory))
