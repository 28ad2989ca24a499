"""What a node offers, out of what its engines offer. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mesh.capability import ModelRef
from services.engines.engine import Engine

AUTO = "auto"
MOST_ALIASES = 8
"""Aliases may point to aliases, this far."""
SPEED_WEIGHT = 0.2
"""Weight of the newest job in the moving average of a model's speed."""
SPEED_MATTERS = 1.5
"""A speed that changed by less than this factor is not worth telling everybody."""


@dataclass(frozen=True, slots=True)
class Offered:
    """One model on one engine."""

    engine: Engine
    ref: ModelRef
    slots: int


def lay_out(shelves: Iterable[tuple[Engine, tuple[ModelRef, ...], int]]) -> dict[str, Offered]:
    """Models by name; of two engines with one name the first wins."""
    offered: dict[str, Offered] = {}
    for engine, models, slots in shelves:
        for ref in models:
            offered.setdefault(ref.name, Offered(engine, ref, slots))
    return offered


def hidden(shelves: Iterable[tuple[Engine, tuple[ModelRef, ...], int]]) -> tuple[str, ...]:
    """A remark for each model that an earlier engine hides."""
    shelves = tuple(shelves)
    offered = lay_out(shelves)
    return tuple(
        f"{engine.name}: {ref.name} is already offered by {offered[ref.name].engine.name}"
        for engine, models, _ in shelves
        for ref in models
        if offered[ref.name].engine is not engine
    )


def resolve(name: str, aliases: Mapping[str, str], offered: Mapping[str, Offered]) -> str | None:
    """The offered name that a client's name means; None when nothing is meant.

    A model's own name wins over an alias; `auto` is the first model offered.
    """
    for _ in range(MOST_ALIASES):
        if name in offered:
            return name
        if name not in aliases:
            break
        name = aliases[name]
    if name == AUTO:
        return next(iter(offered), None)
    return name if name in offered else None


def average_speed(before: float, tokens: int, seconds: float) -> float:
    """The moving average of tokens a second after one more job; 0.0 is "not measured"."""
    if tokens <= 0 or seconds <= 0:
        return before
    now = tokens / seconds
    return now if before == 0 else before + SPEED_WEIGHT * (now - before)


def speed_matters(told: float, now: float) -> bool:
    """Whether a speed is so different from the one told that it must be told anew."""
    if told == 0 or now == 0:
        return told != now
    return max(told, now) / min(told, now) >= SPEED_MATTERS
