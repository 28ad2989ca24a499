"""Findings as lines, as JSON, and as a report that may be shown to strangers."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from mesh.version import VERSION
from node.doctor.finding import Finding

MARKS = {"ok": "ok", "warning": "WARNING", "problem": "PROBLEM", "skipped": "skipped"}
WIDTH = max(map(len, MARKS.values()))


def render(finding: Finding) -> str:
    """One finding: a line, the cure below it, then what others said."""
    lines = [f"{MARKS[finding.status]:<{WIDTH}}  {finding.area}: {finding.what}"]
    indent = " " * (WIDTH + 2)
    if finding.cure:
        lines.append(f"{indent}-> {finding.cure}")
    if finding.detail:
        lines.append(f'{indent}   it said: "{finding.detail}"')
    return "\n".join(lines)


def summary(findings: Iterable[Finding]) -> str:
    """How many of each, worst first."""
    counts = dict.fromkeys(("problem", "warning", "ok", "skipped"), 0)
    for finding in findings:
        counts[finding.status] += 1
    if not counts["problem"] and not counts["warning"]:
        return f"All is well: {counts['ok']} ok, {counts['skipped']} skipped."
    words = (_plural(counts["problem"], "problem"), _plural(counts["warning"], "warning"))
    return f"{words[0]}, {words[1]}, {counts['ok']} ok, {counts['skipped']} skipped."


def to_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """The report as one JSON object."""
    return {
        "version": VERSION,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "healthy": not has_problem(findings),
        "findings": [asdict(finding) for finding in findings],
    }


def has_problem(findings: Iterable[Finding]) -> bool:
    """Whether something keeps the node from serving."""
    return any(finding.status == "problem" for finding in findings)


def render_report(findings: Sequence[Finding]) -> str:
    """The whole report as text; `findings` as `redact_findings` made them."""
    told = to_json(findings)
    head = f"electrons doctor, release {told['version']}, Python {told['python']}, {told['system']}"
    return "\n".join([head, "", *map(render, findings), "", summary(findings)])


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"
