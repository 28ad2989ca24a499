"""The judge of slow connections finds what is planted."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from benchmarks.slow_connections import missed

SOUND: dict[str, Any] = {
    "connections": 100,
    "during": {"request_errors": 0, "link_errors": 0},
    "ratio_p95": 1.2,
    "attack": {"oldest_s": 4.0, "kinds": {"http body": {"longest_s": 10.3}}},
    "files": {"before": 20, "during": 120},
}


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("ratio_p95",), 2.1, "2.10 x the baseline"),
        (("during", "request_errors"), 1, "1 honest requests failed"),
        (("during", "link_errors"), 2, "2 honest links failed"),
        (("attack", "oldest_s"), 30.0, "lived for 30.0 s"),
        (("attack", "kinds", "http body", "longest_s"), 14.0, "lived for 14.0 s"),
        (("files", "during"), 400, "400 files are open"),
    ],
)
def test_planted_faults_are_found(path: tuple[str, ...], value: float, words: str) -> None:
    assert missed(SOUND) == []
    report = deepcopy(SOUND)
    spot = report
    for name in path[:-1]:
        spot = spot[name]
    spot[path[-1]] = value
    assert words in "; ".join(missed(report))
    assert bool(missed(report, quiet=False)) == (path != ("ratio_p95",))
