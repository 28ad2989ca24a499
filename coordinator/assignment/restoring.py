"""Carries the last assignment over to the live set: what records show moves placements on."""

from __future__ import annotations

from coordinator.assignment.board import Board, Seat
from coordinator.assignment.placement import Assignment, Placement, PlacementState
from coordinator.assignment.supply import Supply

DRAIN_SECONDS = 60.0
"""A node told to drain that shows the model for longer serves it for a reason of its own."""
WAIT_SECONDS = 60.0
"""What has waited for room this long gives its claim up, and is placed anew."""


def restore(board: Board, previous: Assignment) -> None:
    """Seat what was placed and still stands, then what nodes run without having been seated."""
    ordered = sorted(previous.placements, key=lambda each: (each.since, each.service, each.node))
    claims = []
    for placement in ordered:
        seat = _carried(board, placement)
        if seat is None:
            continue
        if seat.state in ("waiting", "starting"):
            claims.append(seat)
        else:
            board.add(seat)
    for seat in claims:
        if board.then(seat.node).has(board.need(seat), seat.model):
            board.add(seat)
    _adopt(board)


def next_state(
    placement: Placement, supply: Supply, *, asked_for: bool, now: float
) -> PlacementState | None:
    """What a placement is after what its node's record shows; None: it is over."""
    shown = supply.serves(placement.model, placement.engine)
    state, age = placement.state, now - placement.changed
    if state == "draining" or not asked_for:
        over = not shown or (state == "draining" and age > DRAIN_SECONDS)
        return None if over else "draining"
    if state == "leaving":
        return "leaving"
    if not supply.eligible or placement.model in supply.barred:
        return "leaving" if shown else None
    if state == "waiting":
        return None if age > WAIT_SECONDS else "waiting"
    return "serving" if shown else "starting"


def _carried(board: Board, placement: Placement) -> Seat | None:
    supply = board.supplies.get(placement.node)
    if supply is None or not supply.holds(placement.model, placement.engine):
        return None
    target = board.by_name.get(placement.service)
    same = target is not None and (target.model, target.engine) == (
        placement.model,
        placement.engine,
    )
    state = next_state(placement, supply, asked_for=same, now=board.now)
    if state is None:
        return None
    return Seat(
        target if same else None,
        placement.service,
        placement.model,
        placement.engine,
        placement.node,
        state,
        placement.since,
        placement.changed if state == placement.state else board.now,
    )


def _adopt(board: Board) -> None:
    """What a node serves and could stop counts as placed there: an earlier leader did it."""
    for target in board.targets:
        for supply in board.servers(target):
            if not supply.eligible or target.model not in supply.runnable:
                continue
            if board.seat(target.name, supply.node) is None:
                board.add(new_seat(board, target.name, supply, "serving"))


def new_seat(board: Board, service: str, supply: Supply, state: PlacementState) -> Seat:
    """A seat taken now."""
    target = board.by_name[service]
    return Seat(
        target,
        service,
        target.model,
        target.engine,
        supply.node,
        state,
        board.now,
        board.now,
    )
