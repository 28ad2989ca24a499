"""What a check found: how it stands, what is, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "problem", "skipped"]

MAX_DETAIL = 300
"""Characters of others' words that are shown."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report."""

    area: str
    status: Status
    what: str
    """One sentence in the doctor's own words, free of secrets but for names and addresses."""
    cure: str = ""
    """One sentence what to do; empty where there is nothing to do."""
    detail: str = ""
    """Words of others (the system, an engine, a node): shown here, never in a shared report."""


def ok(area: str, what: str) -> Finding:
    """It is as it should be."""
    return Finding(area, "ok", what)


def warning(area: str, what: str, cure: str, detail: object = "") -> Finding:
    """It works, but worse than it could, or not for long."""
    return Finding(area, "warning", what, cure, _cut(detail))


def problem(area: str, what: str, cure: str, detail: object = "") -> Finding:
    """It keeps the node from serving."""
    return Finding(area, "problem", what, cure, _cut(detail))


def skipped(area: str, why: str, cure: str = "") -> Finding:
    """It could not or need not be looked at."""
    return Finding(area, "skipped", why, cure)


def _cut(detail: object) -> str:
    return " ".join(str(detail).split())[:MAX_DETAIL]
