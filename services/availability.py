"""Whether a machine works for others now: its owner's word, hours, battery, graphics card. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo

from services.schedule import Window, look_up

BY_OWNER = "paused by its owner"
OUT_OF_HOURS = "outside the hours its owner gives"
ON_BATTERY = "it runs on battery"
GPU_TAKEN = "its graphics card is in use"

NOTICE_SECONDS = 1.5
"""So long must somebody else use the card before the node steps back; a window drawn is no use."""
QUIET_SECONDS = 30.0
"""So long must the card be free before the node takes jobs again; games pause between scenes."""


@dataclass(frozen=True, slots=True)
class Pause:
    """The owner wants no jobs here."""

    until: float | None = None
    """Wall time at which it ends by itself; None: when the owner says so."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the owner decided for good."""

    schedule: tuple[Window, ...] = ()
    """Hours in which the machine may work; empty: always."""
    rest_on_battery: bool = False
    yield_gpu: bool = False


@dataclass(frozen=True, slots=True)
class GpuSpell:
    """How long somebody else has been using a graphics card. Times are monotonic."""

    since: float | None = None
    last: float = 0.0
    taken: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """What the machine is like now."""

    on_battery: bool = False
    gpu_taken: bool = False


@dataclass(frozen=True, slots=True)
class Availability:
    """`reason` is "" while open. `until` is the wall time at which it changes, if that is known."""

    open: bool = True
    reason: str = ""
    until: float | None = None


def decide(
    pause: Pause | None, rules: Rules, facts: Facts, now: float, zone: tzinfo | None = None
) -> Availability:
    """What holds at wall time `now`; the owner's own word comes first."""
    if pause is not None and (pause.until is None or now < pause.until):
        return Availability(False, BY_OWNER, pause.until)
    hours = look_up(rules.schedule, now, zone)
    if not hours.open:
        return Availability(False, OUT_OF_HOURS, hours.until)
    if rules.rest_on_battery and facts.on_battery:
        return Availability(False, ON_BATTERY)
    if rules.yield_gpu and facts.gpu_taken:
        return Availability(False, GPU_TAKEN)
    return Availability(True, "", hours.until)


def note_gpu(spell: GpuSpell, used: bool, now: float) -> GpuSpell:
    """The spell after one more look at the cards, at monotonic time `now`."""
    if used:
        since = now if spell.since is None else spell.since
        return GpuSpell(since, now, spell.taken or now - since >= NOTICE_SECONDS)
    return GpuSpell(None, spell.last, spell.taken and now - spell.last < QUIET_SECONDS)
