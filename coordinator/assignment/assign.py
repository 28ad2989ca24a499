"""From targets and the live set to an assignment. Pure: the same input gives the same everywhere.

First every service gets a provider, the most critical first; then the replicas. What runs stays
where it is unless something must give way, so that a change of the mesh moves as little as it can.
"""

from __future__ import annotations

from collections.abc import Iterable

from coordinator.assignment.board import Board, Seat
from coordinator.assignment.placement import Assignment
from coordinator.assignment.restoring import new_seat, restore
from coordinator.assignment.seating import make_room, take_free
from coordinator.assignment.supply import Supply
from mesh.targets import ServiceTarget

SURPLUS_SECONDS = 30.0
"""How long a copy must have been one too many before it is stopped: a node that comes and goes
must not make others start and stop."""
DWELL_SECONDS = 120.0
"""How long a copy stays before it may be moved only to even out the load."""
BALANCE_GAP = 3
"""Services by which two nodes must differ before one is moved between them."""


def assign(
    targets: Iterable[ServiceTarget],
    supplies: Iterable[Supply],
    previous: Assignment,
    now: float,
) -> Assignment:
    """The next assignment. `now`: seconds of the clock that `previous` was made by."""
    board = Board(targets, supplies, now)
    restore(board, previous)
    for target in board.targets:
        _fill(board, target, min(1, target.min_replicas))
    for target in board.targets:
        _fill(board, target, target.min_replicas)
    for target in board.targets:
        _spare(board, target)
    _balance(board)
    for seat in list(board.every()):
        _step(board, seat)
    return board.assignment()


def _fill(board: Board, target: ServiceTarget, wanted: int) -> None:
    """Bring a service to so many providers, as far as that goes."""
    missing = wanted - board.count(target)
    if missing <= 0:
        return
    missing -= _keep(board, target, missing)
    if missing > 0:
        missing -= take_free(board, target, missing)
    if any(board.is_late(seat) for seat in board.seats(target.name)):
        return  # a second start may use free room and drive nobody away
    while missing > 0 and make_room(board, target, first=wanted == 1):
        missing -= 1


def _keep(board: Board, target: ServiceTarget, most: int) -> int:
    """Count again on copies that were about to leave."""
    kept = 0
    for seat in sorted(board.seats(target.name), key=lambda each: (each.since, each.node)):
        supply = board.supplies[seat.node]
        if seat.state != "leaving" or not supply.eligible or seat.model in supply.barred:
            continue
        if kept < most and board.then(seat.node).has(board.need(seat), seat.model):
            shown = supply.serves(seat.model, seat.engine)
            board.change(seat, "serving" if shown else "starting")
            kept += 1
    return kept


def _spare(board: Board, target: ServiceTarget) -> None:
    """Let copies leave that are not asked for: unproven and young ones first."""
    excess = board.count(target) - target.min_replicas
    if excess <= 0:
        return
    order = {"waiting": 0, "starting": 1, "serving": 2}
    seats = [seat for seat in board.seats(target.name) if seat.state in order]
    seats.sort(key=lambda each: (order[each.state], -each.since, each.node))
    for seat in seats[:excess]:
        if seat.state == "waiting":
            board.drop(seat)
        else:
            board.change(seat, "leaving")


def _balance(board: Board) -> None:
    """When all is calm move one long-standing copy from the fullest node to a much emptier one."""
    if any(seat.state != "serving" for seat in board.every()):
        return
    loads = {node: board.load(node) for node in board.supplies}
    fullest = max(loads.values(), default=0)
    if fullest < BALANCE_GAP:
        return
    for node in (node for node, load in loads.items() if load == fullest):
        for seat in board.on(node):
            if board.now - seat.since >= DWELL_SECONDS and _move_to_emptier(board, seat, fullest):
                return


def _move_to_emptier(board: Board, seat: Seat, load: int) -> bool:
    if seat.target is None:
        return False
    options = [
        (board.load(holder.supply.node), holder.supply.node)
        for holder in board.holders(seat.target)
        if holder.supply.eligible
        and not holder.supply.degraded
        and seat.model not in holder.supply.barred
        and board.seat(seat.service, holder.supply.node) is None
        and board.load(holder.supply.node) <= load - BALANCE_GAP
        and board.at_present(holder.supply.node).has(holder.need, seat.model)
    ]
    if not options:
        return False
    board.change(seat, "leaving")
    supply = board.supplies[min(options)[1]]
    board.add(new_seat(board, seat.service, supply, "starting"))
    return True


def _step(board: Board, seat: Seat) -> None:
    """Start what has waited for room that is there now; drain what was replaced."""
    if seat.state == "waiting":
        if board.at_present(seat.node).has(board.need(seat), seat.model):
            board.change(seat, "starting")
    elif seat.state == "leaving" and _replaced(board, seat):
        board.change(seat, "draining")


def _replaced(board: Board, seat: Seat) -> bool:
    """Whether a leaving copy can stop: enough others were seen serving, and for long enough."""
    if seat.target is None:
        return True
    probed = board.probed(seat.target)
    waiters = [each.target for each in board.on(seat.node) if each.state == "waiting"]
    if waiters:
        return probed >= min(1, seat.target.min_replicas) or _gives_way(board, seat, waiters)
    if board.now - seat.changed < SURPLUS_SECONDS:
        return False
    return probed >= seat.target.min_replicas


def _gives_way(board: Board, seat: Seat, waiters: list[ServiceTarget | None]) -> bool:
    """Whether the seat that was meant to replace this one is gone, and who waits is worth more."""
    victim = seat.target
    if victim is None or board.count(victim):
        return False
    return any(
        waiter is not None
        and (waiter.priority, waiter.name) < (victim.priority, victim.name)
        and board.count(waiter) <= 1
        and not board.probed(waiter)
        for waiter in waiters
    )
