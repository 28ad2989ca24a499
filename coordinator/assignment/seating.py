"""Finds seats for a service: free ones first, then by making room.

Room is made by what costs least: copies that are not asked for, further copies of a service that
others serve, last copies that find a seat elsewhere (they move before they stop), and for a first
copy of a more critical service the last copy of a less critical one.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from coordinator.assignment.board import Board, Holder, Seat
from coordinator.assignment.placement import COUNTED, PlacementState
from coordinator.assignment.restoring import new_seat
from mesh.ids import NodeId
from mesh.targets import ServiceTarget

MAX_DEPTH = 2
"""Services that may be moved in a row to make room for one."""
MAX_TRIED = 16
"""Nodes on which room is tried to be made."""
MAX_EFFORT = 20_000
"""Nodes looked at for that in one computation: it bounds the time, the same everywhere."""

Cost = tuple[bool, bool, int, bool, int, int, NodeId]


def take_free(board: Board, target: ServiceTarget, most: int) -> int:
    """Seat up to `most` copies where there is room; how many were seated."""
    options = heapq.nsmallest(most, ((_cost(board, each), each) for each in _free(board, target)))
    for _, holder in options:
        _sit(board, target, holder)
    return len(options)


def make_room(board: Board, target: ServiceTarget, *, first: bool) -> bool:
    """Seat one copy by displacing others. `first`: it would be the service's only provider."""
    for preempt in (False, True) if first else (False,):
        mark = board.mark()
        if _make_seat(board, target, MAX_DEPTH if first else 0, preempt):
            return True
        board.rollback(mark)
    return False


def _make_seat(board: Board, target: ServiceTarget, depth: int, preempt: bool) -> bool:
    tried = heapq.nsmallest(MAX_TRIED, ((_cost(board, h), h) for h in _open(board, target)))
    for _, holder in tried:
        if board.effort > MAX_EFFORT:
            return False
        mark = board.mark()
        if _clear(board, target, holder, depth, preempt):
            _sit(board, target, holder)
            return True
        board.rollback(mark)
    return False


def _clear(board: Board, target: ServiceTarget, holder: Holder, depth: int, preempt: bool) -> bool:
    """Make what sits on the node leave until the service fits, and nothing that does not help."""
    node, model = holder.supply.node, target.model
    driven_out: list[tuple[Seat, PlacementState, float]] = []
    for seat in _victims(board, node):
        if board.then(node).has(holder.need, model):
            break
        if _helps(board, seat, holder):
            before = (seat, seat.state, seat.changed)
            _unseat(board, seat, target, depth, preempt)
            if seat.state == "draining":
                driven_out.append(before)
    if not board.then(node).has(holder.need, model):
        return False
    for seat, state, changed in driven_out:
        _spare_needlessly_driven(board, seat, state, changed, holder, model)
    return True


def _spare_needlessly_driven(
    board: Board,
    seat: Seat,
    state: PlacementState,
    changed: float,
    holder: Holder,
    model: str,
) -> None:
    """Later departures may have made room enough without this one."""
    mark = board.mark()
    board.change(seat, state)
    if board.then(seat.node).has(holder.need, model):
        seat.changed = changed
    else:
        board.rollback(mark)


def _helps(board: Board, seat: Seat, holder: Holder) -> bool:
    """Whether a seat takes what is scarce."""
    room, need, taken = board.then(seat.node), holder.need, board.need(seat)
    if need.memory > room.memory and taken.memory:
        return True
    cards = max(room.cards, default=0)
    return need.gpu_memory > cards and taken.gpu_memory > 0


def _unseat(board: Board, seat: Seat, target: ServiceTarget, depth: int, preempt: bool) -> None:
    """Make one copy leave when that is worth it; otherwise nothing changes."""
    victim = seat.target
    if victim is None:
        return
    more_critical = (target.priority, target.name) < (victim.priority, victim.name)
    extra = board.count(victim) > 1 and board.probed(victim) > (seat.state == "serving")
    if board.count(victim) > victim.min_replicas or (extra and (depth > 0 or more_critical)):
        board.change(seat, "leaving")
        return
    if depth > 0 and _move(board, seat, victim, depth):
        return
    if preempt and more_critical:
        board.change(seat, "draining")


def _move(board: Board, seat: Seat, victim: ServiceTarget, depth: int) -> bool:
    mark = board.mark()
    board.change(seat, "leaving")
    if take_free(board, victim, 1) or _make_seat(board, victim, depth - 1, False):
        return True
    board.rollback(mark)
    return False


def _victims(board: Board, node: NodeId) -> list[Seat]:
    """What counts on a node, the least missed first."""
    seats = [seat for seat in board.on(node) if seat.state in COUNTED]
    return sorted(seats, key=lambda seat: _disposable(board, seat))


def _disposable(board: Board, seat: Seat) -> tuple[bool, bool, int, float, str]:
    assert seat.target is not None
    spare = board.count(seat.target)
    return (
        spare <= seat.target.min_replicas,
        spare <= 1,
        -seat.target.priority,
        -seat.since,
        seat.service,
    )


def _open(board: Board, target: ServiceTarget) -> Iterator[Holder]:
    """Nodes that may be told to start the service and do not have it."""
    for holder in board.holders(target):
        supply = holder.supply
        board.effort += 1
        if not supply.eligible or target.model in supply.barred:
            continue
        if board.seat(target.name, supply.node) is None:
            yield holder


def _free(board: Board, target: ServiceTarget) -> Iterator[Holder]:
    for holder in _open(board, target):
        if board.then(holder.supply.node).has(holder.need, target.model):
            yield holder


def _sit(board: Board, target: ServiceTarget, holder: Holder) -> None:
    fits = board.at_present(holder.supply.node).has(holder.need, target.model)
    board.add(new_seat(board, target.name, holder.supply, "starting" if fits else "waiting"))


def _cost(board: Board, holder: Holder) -> Cost:
    """Lower is better: at once, sound, spread, cards kept for what needs them, versatility kept."""
    supply = holder.supply
    node = supply.node
    wasted = bool(supply.resources.gpus) and not holder.need.gpu_memory
    card = min(
        (free for free in board.then(node).cards if free >= holder.need.gpu_memory), default=0
    )
    return (
        not board.at_present(node).has(holder.need),
        supply.degraded,
        board.load(node),
        wasted,
        len(supply.runnable),
        card if holder.need.gpu_memory else 0,
        node,
    )
