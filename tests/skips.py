"""Nobody skips a test silently: a skip that tests/allowed_skips.txt does not name is a failure."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path

import pytest

ALLOWED_FILE = Path(__file__).with_name("allowed_skips.txt")


def parse_allowed(text: str) -> tuple[str, ...]:
    """Test ids or their beginnings, one a line, each with a reason after "#".

    Raises ValueError for a line without a reason.
    """
    allowed = []
    for number, line in enumerate(text.splitlines(), start=1):
        name, _, reason = (part.strip() for part in line.partition("#"))
        if name and not reason:
            raise ValueError(f"line {number}: {name} has no reason after '#'")
        if name:
            allowed.append(name)
    return tuple(allowed)


def is_allowed(node_id: str, allowed: Sequence[str]) -> bool:
    """True when an entry names the test, its file or its folder."""
    return any(
        node_id == entry or node_id.startswith(f"{entry.rstrip('/')}{separator}")
        for entry in allowed
        for separator in ("::", "/", "[")
    )


class SkipGuard:
    """A pytest plugin that turns skips (and expected failures) nobody allowed into failures."""

    def __init__(self, allowed: Sequence[str]) -> None:
        self._allowed = tuple(allowed)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self,
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Judge one phase of one test."""
        report = yield
        self._judge(report)
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(
        self,
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Judge a file that skips itself while it is collected."""
        report = yield
        self._judge(report)
        return report

    def _judge(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.skipped and not is_allowed(report.nodeid, self._allowed):
            reason = getattr(report, "wasxfail", None) or _reason(report.longrepr)
            report.outcome = "failed"
            report.longrepr = (
                f"{report.nodeid} was skipped ({reason}) and tests/allowed_skips.txt does not "
                "name it: make it run, or add it there with the reason"
            )
            if hasattr(report, "wasxfail"):
                del report.wasxfail


def _reason(longrepr: object) -> str:
    if isinstance(longrepr, tuple) and len(longrepr) == 3:
        return str(longrepr[2]).removeprefix("Skipped: ")
    return str(longrepr)
