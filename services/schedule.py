"""When a machine may work for others: windows of local time. Pure, but for the zone's rules.

A window is `22:00-07:00`, every day, or `mon-fri 20:00-06:00`. One that passes midnight belongs to
the day it begins on; `00:00-24:00` is the whole day.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60
_WINDOW = re.compile(
    r"(?:(?P<first>[a-z]{3})(?:-(?P<last>[a-z]{3}))?\s+)?"
    r"(?P<begin>\d{1,2}:\d{2})\s*-\s*(?P<end>\d{1,2}:\d{2})"
)


@dataclass(frozen=True, slots=True)
class Window:
    """A span of minutes that begins on some days of the week."""

    days: frozenset[int]
    """0 is Monday."""
    begin: int
    """Minutes after midnight."""
    end: int
    """Minutes after the same midnight; more than a day's when the window passes the next one."""
    text: str
    """As its owner wrote it."""


@dataclass(frozen=True, slots=True)
class Opening:
    """Whether a moment is inside, and the wall time at which that changes; None: never."""

    open: bool
    until: float | None


def parse_window(text: str) -> Window:
    """Raises ValueError, which says what is allowed."""
    allowed = "give HH:MM-HH:MM, with days before it where wanted: 'mon-fri 20:00-06:00'"
    match = _WINDOW.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError(allowed)
    begin, end = _minutes(match["begin"]), _minutes(match["end"])
    days = _days(match["first"], match["last"])
    if begin is None or end is None or days is None or begin in (end, DAY_MINUTES):
        raise ValueError(allowed)
    end = end if end > begin else end + DAY_MINUTES
    return Window(days, begin, end, " ".join(text.split()))


def look_up(windows: Sequence[Window], now: float, zone: tzinfo | None = None) -> Opening:
    """`now` is wall time; `zone` None is the machine's own. Always open without any window."""
    if not windows:
        return Opening(True, None)
    spans = sorted(_spans(windows, now, zone))
    until = None
    for begin, end in spans:
        if until is None and begin <= now < end:
            until = end
        elif until is not None and begin <= until:
            until = max(until, end)
    if until is not None:
        # Joined for longer than a week: it never closes.
        return Opening(True, until if until - now < timedelta(days=7).total_seconds() else None)
    return Opening(False, min((begin for begin, _ in spans if begin > now), default=None))


def _spans(windows: Sequence[Window], now: float, zone: tzinfo | None) -> list[tuple[float, float]]:
    """Every window from yesterday to a week and a day ahead, in wall time."""
    today = datetime.fromtimestamp(now, zone).date()
    spans = []
    for offset in range(-1, 9):
        day = datetime.combine(today + timedelta(days=offset), time(), zone)
        for window in windows:
            if day.weekday() in window.days:
                spans.append((_at(day, window.begin), _at(day, window.end)))
    return spans


def _at(midnight: datetime, minutes: int) -> float:
    """Wall clocks decide, so the hour that a change of summer time skips or repeats counts so."""
    return (midnight + timedelta(minutes=minutes)).timestamp()


def _minutes(text: str) -> int | None:
    hours, minutes = (int(part) for part in text.split(":"))
    total = hours * 60 + minutes
    return total if minutes < 60 and total <= DAY_MINUTES else None


def _days(first: str | None, last: str | None) -> frozenset[int] | None:
    if first is None:
        return frozenset(range(7))
    if first not in DAYS or (last or first) not in DAYS:
        return None
    begin, end = DAYS.index(first), DAYS.index(last or first)
    return frozenset((begin + n) % 7 for n in range((end - begin) % 7 + 1))
