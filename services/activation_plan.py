"""Decides what a node starts and stops to follow an assignment. Pure.

(not here) --start--> starting --sample passed--> serving --not wanted--> draining --idle--> (gone)
   starting --too long without an offer--> failed
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from mesh.capability import Resources, Runnable
from mesh.room import NO_CARD, Need, Room, fits, need_of, say_bytes
from mesh.wire.assignment import RunReport
from services.limits import Limits

OUTGROWN = "the owner's limits no longer leave room for it"
ActiveState = Literal["starting", "serving", "draining"]


@dataclass(frozen=True, slots=True)
class Active:
    """A model that an assignment started here and that is still in memory."""

    runnable: Runnable
    state: ActiveState
    card: int = NO_CARD


@dataclass(frozen=True, slots=True)
class Start:
    """Start a model, on a card where it uses one."""

    model: str
    card: int


@dataclass(frozen=True, slots=True)
class Situation:
    """What the node has and does now."""

    held: Mapping[str, Runnable]
    """What it could start, by model."""
    active: Mapping[str, Active]
    own: Collection[str]
    """Models that the owner's own engines serve: never started or stopped here."""
    failed: Mapping[str, str]
    """Why a model that is still wanted was given up, by model."""
    resources: Resources
    available: int
    """Bytes of main memory that are free now, whoever uses the rest."""


@dataclass(frozen=True, slots=True)
class Steps:
    """What to do, and what to tell the leader."""

    starts: tuple[Start, ...]
    drains: tuple[str, ...]
    reports: tuple[RunReport, ...]


def plan(wanted: Sequence[tuple[str, str]], situation: Situation) -> Steps:
    """Follow an assignment: each (model, engine) is started, refused, or waited for."""
    models = {model for model, _ in wanted}
    active = situation.active
    ending = {m for m, one in active.items() if m not in models or one.state == "draining"}
    ending |= _outgrown(situation, ending)
    accounts = _Accounts(situation, ending)
    starts: list[Start] = []
    reports = [
        RunReport(model, "refused", OUTGROWN)
        if model in ending and active[model].state != "draining"
        else _follow(model, engine, situation, accounts, starts)
        for model, engine in sorted(set(wanted))
    ]
    reports += [RunReport(model, "draining") for model in sorted(ending - models)]
    drains = tuple(sorted(model for model in ending if active[model].state != "draining"))
    return Steps(tuple(starts), drains, tuple(reports))


def within(resources: Resources, limits: Limits) -> Resources:
    """What the owner's limits leave of a machine; those of graphics memory hold for all cards."""
    memory, left = resources.memory, limits.gpu_memory
    if limits.memory is not None:
        memory = min(memory, limits.memory)
    cards = []
    for card in resources.gpus:
        size = card.memory if left is None else min(card.memory, left)
        left = None if left is None else left - size
        cards.append(replace(card, memory=size))
    return replace(resources, memory=memory, gpus=tuple(cards))


def _outgrown(situation: Situation, ending: Collection[str]) -> frozenset[str]:
    """What runs beyond the limits since the owner lowered them."""
    room = Room(situation.resources)
    found = set()
    for model, one in sorted(situation.active.items()):
        need = need_of(one.runnable)
        if model in ending:
            continue
        room.take_on(model, need, one.card)
        if room.memory < 0 or (one.card != NO_CARD and min(room.cards, default=0) < 0):
            found.add(model)
            room.give_back(model, need, one.card)
    return frozenset(found)


class _Accounts:
    """What is left of the node: now, and once what ends has ended."""

    def __init__(self, situation: Situation, ending: Collection[str]) -> None:
        self.resources = situation.resources
        self.now = Room(situation.resources)
        self.then = Room(situation.resources)
        self.available = situation.available
        for model, one in sorted(situation.active.items()):
            need = need_of(one.runnable)
            self.now.take_on(model, need, one.card)
            if model in ending:
                self.available += need.memory
            else:
                self.then.take_on(model, need, one.card)

    def refusal(self, need: Need) -> str:
        """Why a model cannot run here even when what ends has ended; "" when it can."""
        if not fits(self.resources, need):
            return _shortage(need, Room(self.resources), "has")
        if not self.then.has(need):
            return _shortage(need, self.then, "has left")
        if need.memory > self.available:
            left = say_bytes(max(0, self.available))
            return f"needs {say_bytes(need.memory)} of memory; {left} are free on the machine now"
        return ""

    def take(self, model: str, need: Need) -> int:
        """Set a model's share aside; the card it is to use."""
        card = self.now.take(model, need)
        self.then.take_on(model, need, card)
        self.available -= need.memory
        return card


def _follow(
    model: str, engine: str, situation: Situation, accounts: _Accounts, starts: list[Start]
) -> RunReport:
    if model in situation.own:
        return RunReport(model, "serving", "by the owner's own engine")
    one = situation.active.get(model)
    if one is not None and one.state == "draining":
        return RunReport(model, "waiting", "its last copy here is still draining")
    if one is not None:
        return RunReport(model, one.state)
    if model in situation.failed:
        return RunReport(model, "failed", situation.failed[model])
    held = situation.held.get(model)
    if held is None or engine not in ("", held.engine):
        return RunReport(model, "refused", "this node does not hold it")
    need = need_of(held)
    if reason := accounts.refusal(need):
        return RunReport(model, "refused", reason)
    if not accounts.now.has(need):
        return RunReport(model, "waiting", "there is no room for it until something has ended")
    starts.append(Start(model, accounts.take(model, need)))
    return RunReport(model, "starting")


def _shortage(need: Need, room: Room, has: str) -> str:
    if need.memory > room.memory:
        left = say_bytes(max(0, room.memory))
        return f"needs {say_bytes(need.memory)} of memory; this node {has} {left}"
    largest = say_bytes(max(0, *room.cards)) if room.cards else "no GPU"
    place = f"at most {largest} on one card" if room.cards else largest
    return f"needs {say_bytes(need.gpu_memory)} of GPU memory; this node {has} {place}"
