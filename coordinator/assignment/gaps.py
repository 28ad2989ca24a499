"""Which services are covered, and what is lacking where they are not, in words. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from coordinator.assignment.board import Board, Holder, Seat, need_on
from coordinator.assignment.placement import Assignment
from coordinator.assignment.restoring import restore
from coordinator.assignment.supply import Supply
from mesh.coverage import (
    MAX_REASON,
    MAX_REASONS,
    CoverageLevel,
    ServiceCoverage,
)
from mesh.room import Need, fits, say_bytes
from mesh.targets import ServiceTarget

_URGENCY: dict[CoverageLevel, int] = {"critical": 0, "warning": 1, "unknown": 2, "ok": 3}
_SHORT = 8
"""Digits of a node id in words."""


def find_gaps(
    targets: Iterable[ServiceTarget],
    supplies: Iterable[Supply],
    assignment: Assignment,
    now: float,
) -> tuple[ServiceCoverage, ...]:
    """Every service as it is covered now, the most pressing first."""
    board = Board(targets, supplies, now)
    restore(board, assignment)
    found = [_coverage(board, target) for target in board.targets]
    return tuple(sorted(found, key=lambda each: (_URGENCY[each.level], each.priority)))


def _coverage(board: Board, target: ServiceTarget) -> ServiceCoverage:
    providers = tuple(supply.node for supply in board.servers(target))
    level: CoverageLevel = "ok"
    if len(providers) < target.min_replicas:
        level = "warning" if providers else "critical"
    seats = board.seats(target.name)
    return ServiceCoverage(
        service=target.name,
        model=target.model,
        level=level,
        providers=providers,
        wanted=target.min_replicas,
        priority=target.priority,
        starting=tuple(sorted(seat.node for seat in seats if seat.state == "starting")),
        reasons=() if level == "ok" else explain(board, target),
    )


def explain(board: Board, target: ServiceTarget) -> tuple[str, ...]:
    """Why a service has fewer providers than asked for."""
    reasons = [*_under_way(board, target), *_barred(board, target)]
    if board.count(target) < target.min_replicas or not reasons:
        reasons += _lacking(board, target)
    return tuple(reason[:MAX_REASON] for reason in reasons[:MAX_REASONS])


def _under_way(board: Board, target: ServiceTarget) -> list[str]:
    words = []
    for seat in sorted(board.seats(target.name), key=lambda each: each.node):
        place = f"on node {seat.node[:_SHORT]}"
        if seat.state == "starting":
            words.append(f"starting {place} for {board.now - seat.changed:.0f} s")
        elif seat.state == "waiting":
            words.append(f"waiting {place} until {_departing(board, seat)} has ended there")
    return words


def _departing(board: Board, seat: Seat) -> str:
    leaving = (each for each in board.on(seat.node) if each.state in ("leaving", "draining"))
    return ", ".join(sorted(each.service for each in leaving)) or "another service"


def _barred(board: Board, target: ServiceTarget) -> list[str]:
    return [
        f"node {supply.node[:_SHORT]} could not start it: {supply.barred[target.model]}"
        for supply in board.supplies.values()
        if target.model in supply.barred and supply.holds(target.model, target.engine)
    ]


def _lacking(board: Board, target: ServiceTarget) -> list[str]:
    holding = [
        supply for supply in board.supplies.values() if supply.holds(target.model, target.engine)
    ]
    if not holding:
        return _nobody_holds(board, target)
    holders = board.holders(target)
    if not holders:
        return _too_small(target, holding)
    free = [each for each in holders if each.supply.eligible]
    if not free:
        return [f"every node that holds model {target.model} is draining or paused"]
    unseated = [each for each in free if board.seat(target.name, each.supply.node) is None]
    if not unseated:
        return [f"no further node can run it: {len(holders)} of {target.min_replicas} can"]
    return _no_room(board, target, unseated)


def _nobody_holds(board: Board, target: ServiceTarget) -> list[str]:
    engine = f" for engine {target.engine}" if target.engine else ""
    words = [f"no node holds model {target.model}{engine}"]
    need = Need(target.memory, target.gpu_memory)
    return words + _hardware(need, list(board.supplies.values()))


def _too_small(target: ServiceTarget, holding: Sequence[Supply]) -> list[str]:
    """No holder has the hardware, were it empty: said for the one that needs least."""
    least = min((need_on(supply, target) for supply in holding), key=_size)
    return _hardware(least, holding)


def _size(need: Need) -> tuple[int, int]:
    return need.gpu_memory, need.memory


def _hardware(need: Need, supplies: Sequence[Supply]) -> list[str]:
    words = []
    cards = [(gpu.memory, each.node) for each in supplies for gpu in each.resources.gpus]
    if supplies and need.gpu_memory > max(cards, default=(0, ""))[0]:
        best = _best(
            cards, "the largest card has {} on node {}", "no node that could run it has a GPU"
        )
        words.append(f"needs {say_bytes(need.gpu_memory)} of GPU memory; {best}")
    memories = [(each.resources.memory, each.node) for each in supplies]
    if supplies and need.memory > max(memories)[0]:
        best = _best(memories, "the most is {} on node {}", "")
        words.append(f"needs {say_bytes(need.memory)} of memory; {best}")
    if not words and supplies and not any(fits(each.resources, need) for each in supplies):
        words.append(
            f"needs {say_bytes(need.gpu_memory)} of GPU memory and {say_bytes(need.memory)} of "
            "memory on one node; no node has both"
        )
    return words


def _no_room(board: Board, target: ServiceTarget, holders: Sequence[Holder]) -> list[str]:
    """Holders would do if they were empty."""
    cards = [
        (max(board.then(each.supply.node).cards, default=0), each.supply.node) for each in holders
    ]
    memories = [(board.then(each.supply.node).memory, each.supply.node) for each in holders]
    need = min((each.need for each in holders), key=_size)
    words = []
    if need.gpu_memory > max(cards)[0]:
        best = _best(cards, "the largest free card has {} on node {}", "")
        words.append(f"needs {say_bytes(need.gpu_memory)} of GPU memory; {best}")
    if need.memory > max(memories)[0]:
        best = _best(memories, "the most that is free is {} on node {}", "")
        words.append(f"needs {say_bytes(need.memory)} of memory; {best}")
    if words:
        return [f"{line} (other services use the rest)" for line in words]
    return [f"about to start; {len(holders)} nodes have room for it"]


def _best(sizes: Sequence[tuple[int, str]], words: str, none: str) -> str:
    if not sizes:
        return none
    size, node = max(sizes)
    return words.format(say_bytes(max(0, size)), node[:_SHORT])
