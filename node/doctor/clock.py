"""The machine's clock: against those of edge routers and nodes, and against itself."""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mesh.identity.grants import CLOCK_TOLERANCE
from node.doctor.aside import aside
from node.doctor.finding import Finding, ok, problem, skipped, warning
from node.doctor.patient import Patient
from node.doctor.routes import proxy_for
from node.doctor.targets import Target, targets_of
from node.doctor.web import NoAnswer, ask

AREA = "clock"
SHARED_CURE = (
    "let the system set its clock: 'timedatectl set-ntp true' on Linux, the date settings elsewhere"
)
WRONG_SECONDS = CLOCK_TOLERANCE
"""More than this, and grants and records are refused."""
DOUBTFUL_SECONDS = 30.0
STEP_SECONDS = 0.2
"""Over WATCH_SECONDS; more means that something is setting the clock right now."""
WATCH_SECONDS = 0.3
FUTURE_SECONDS = 86_400.0
EARLIEST = 1_735_689_600.0
"""2025-01-01: no release is older, so no right clock shows less."""
MAX_ASKED = 6
MAX_FILES = 256


@dataclass(frozen=True, slots=True)
class ClockFacts:
    """Seconds; `offsets` are ours minus theirs."""

    wall: float
    offsets: tuple[float, ...] = ()
    asked: int = 0
    stepped: float = 0.0
    """By how much the wall clock moved against the monotonic one while watched."""
    newest_file: float | None = None
    """Unix seconds of the newest file in the data folder."""


async def examine_clock(patient: Patient) -> Sequence[Finding]:
    """See `judge_clock`."""
    places = [target for target in targets_of(patient) if target.speaks_http][:MAX_ASKED]
    asked = [_offset(patient, target) for target in places]
    newest, stepped, *answers = await asyncio.gather(
        aside(lambda: _newest_file(patient.data_dir)), _watch(patient), *asked
    )
    offsets = tuple(offset for offset in answers if offset is not None)
    wall = patient.instruments.wall()
    return judge_clock(ClockFacts(wall, offsets, len(places), stepped or 0.0, newest))


def judge_clock(facts: ClockFacts) -> tuple[Finding, ...]:
    """Whether signatures and grants of others will be believed here, and ours there."""
    if facts.wall < EARLIEST:
        day = datetime.fromtimestamp(max(0.0, facts.wall), UTC).date()
        return (problem(AREA, f"The clock shows {day}, before this release was made", SHARED_CURE),)
    found: list[Finding] = []
    if facts.newest_file is not None and facts.newest_file > facts.wall + FUTURE_SECONDS:
        days = (facts.newest_file - facts.wall) / 86_400
        what = f"Files of the data folder are {days:.0f} days from the future"
        found.append(warning(AREA, what + ": the clock was or is wrong", SHARED_CURE))
    if abs(facts.stepped) > STEP_SECONDS:
        what = f"The clock jumped by {facts.stepped:+.1f} s while it was watched"
        cure = "see that only one program sets the clock, and that a virtual machine is not paused"
        found.append(warning(AREA, what, cure))
    return (*found, _judge_offset(facts))


def _judge_offset(facts: ClockFacts) -> Finding:
    if not facts.offsets:
        why = "No edge router or node that tells the time is configured"
        return skipped(
            AREA, "None of the places that tell the time answered" if facts.asked else why
        )
    offset = statistics.median(facts.offsets)
    compared = f"{len(facts.offsets)} other clock{'s' * (len(facts.offsets) != 1)}"
    what = f"The clock is {abs(offset):.0f} s {'ahead of' if offset > 0 else 'behind'} {compared}"
    if abs(offset) > WRONG_SECONDS:
        return problem(AREA, what + ", so that grants and records are refused", SHARED_CURE)
    if abs(offset) > DOUBTFUL_SECONDS:
        return warning(AREA, what, SHARED_CURE)
    return ok(AREA, f"The clock agrees with {compared}")


async def _offset(patient: Patient, target: Target) -> float | None:
    try:
        answer = await ask(f"{target.origin}/health", proxy=proxy_for(patient, target))
    except NoAnswer:
        return None
    return None if answer.date is None else patient.instruments.wall() - answer.date


async def _watch(patient: Patient) -> float:
    look = patient.instruments
    wall, monotonic = look.wall(), look.monotonic()
    await asyncio.sleep(WATCH_SECONDS)
    return (look.wall() - wall) - (look.monotonic() - monotonic)


def _newest_file(folder: Path) -> float | None:
    try:
        with os.scandir(folder) as entries:
            times = [entry.stat().st_mtime for entry in itertools.islice(entries, MAX_FILES)]
    except OSError:
        return None
    return max(times, default=None)
