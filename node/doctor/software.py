"""Python, this release, and how long ago it was installed."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Sequence
from pathlib import Path

from mesh.version import VERSION
from node.doctor.aside import aside
from node.doctor.finding import Finding, ok, problem, warning
from node.doctor.patient import Patient

AREA = "software"
DISTRIBUTION = "distributed-electrons"
OLDEST_PYTHON = (3, 11)
DAY = 86_400.0
OLD_DAYS = 120
"""Days without an update after which there is surely a newer release."""


async def examine_software(patient: Patient) -> Sequence[Finding]:
    """See the judgements below."""
    installed = await aside(_installed_at)
    running = str(patient.answer.get("version", "")) if patient.answer is not None else ""
    return (
        judge_python(sys.version_info[:2]),
        judge_release(VERSION, running),
        judge_age(installed, patient.instruments.wall()),
    )


def judge_python(version: tuple[int, int]) -> Finding:
    """Whether this Python can run a node."""
    text = ".".join(map(str, version))
    if version < OLDEST_PYTHON:
        wanted = ".".join(map(str, OLDEST_PYTHON))
        return problem(AREA, f"Python {text} is too old", f"install Python {wanted} or newer")
    return ok(AREA, f"Python {text}")


def judge_release(here: str, running: str) -> Finding:
    """Whether the node that runs is the release that is installed."""
    if running and running != here:
        what = f"The running node is release {running}, this program is {here}"
        return warning(AREA, what, "run 'electrons update', or start the node again")
    return ok(AREA, f"Release {here}" + (" is what runs" if running else ""))


def judge_age(installed: float | None, wall: float) -> Finding:
    """Whether it is time to update; `installed` in Unix seconds."""
    if installed is None or installed > wall:
        return ok(AREA, "When this release was installed is not known")
    days = int((wall - installed) / DAY)
    what = f"This release was installed {days} day{'s' * (days != 1)} ago"
    if days >= OLD_DAYS:
        return warning(AREA, what, "see 'electrons update --help' for how a newer one takes over")
    return ok(AREA, what)


def _installed_at() -> float | None:
    """When the package's metadata was written, by its file's time."""
    try:
        files = importlib.metadata.files(DISTRIBUTION) or ()
        found = [
            Path(str(file.locate())) for file in files if file.name in ("METADATA", "PKG-INFO")
        ]
        return max((path.stat().st_mtime for path in found if path.exists()), default=None)
    except (importlib.metadata.PackageNotFoundError, OSError):
        return None
