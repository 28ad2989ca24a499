"""Clocks as values, so that decisions can be tested in virtual time."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """`now` never goes back (seconds from an arbitrary start); `wall` is Unix seconds."""

    def now(self) -> float: ...

    def wall(self) -> float: ...


class SystemClock:
    """The machine's own clocks."""

    now = staticmethod(time.monotonic)  # not a method around it: read for every token
    wall = staticmethod(time.time)
