"""A coordinator with two hundred workers on real links: the benchmark, smaller."""

from __future__ import annotations

from benchmarks.registry import measure_links


def test_a_gateway_sees_two_hundred_workers_of_a_coordinator_and_their_changes() -> None:
    figures = measure_links(200, settle=0.0, idle=0.5, changes=10)
    assert figures["links_at_coordinator"] == 200 + 10 + 1
    assert figures["memory_kib_per_worker"] < 512
    assert set(figures["load_ms"]) == {"p50", "p99", "most"}
