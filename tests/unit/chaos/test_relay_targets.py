"""Measurements of relays are judged: a missed target is named, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import relay_idle
from chaos import hole_punching, relay_speed

TRY = {"punched_s": 0.15, "echo_s": 0.002, "bytes_per_s": 3e7}
FAILED = {"failed": "no way through", "after_s": 3.0}


def route(rate: float, echo: float, cpu: float = 0.1) -> list[dict[str, Any]]:
    return [{"bytes_per_s": rate, "echo_s": echo, "connect_s": 0.01, "relay_cpu": cpu}] * 3


def figures(rate: float = 1e6, echo: float = 0.02) -> dict[str, Any]:
    """A direct way of 1 MB/s and 10 ms; 5 ms to the relay."""
    found = {"direct": route(1e6, 0.010), "relayed": route(rate, echo)}
    return relay_speed.summary(found, 0.005, 1.0)


def test_what_is_within_the_targets_is_not_named() -> None:
    assert relay_speed.missed({"50 Mbit/s": figures(8e5), "unshaped": figures(1e5)}) == []


def test_thin_and_slow_relays_are_named() -> None:
    assert relay_speed.missed({"50 Mbit/s": figures(7.9e5)}) == ["throughput, 50 Mbit/s"]
    assert relay_speed.missed({"unshaped": figures(echo=0.022)}) == ["latency, unshaped"]


@pytest.mark.parametrize(
    ("planted", "named"),
    [
        ({}, []),
        ({"linked": 999}, ["nodes lost their relay"]),
        ({"reservations": 64.0}, ["reservations are missing"]),
        ({"kib_a_node": 100.1}, ["more than 100 KiB a node"]),
    ],
)
def test_a_relay_that_drops_or_grows_is_named(planted: dict[str, Any], named: list[str]) -> None:
    report = {"nodes": 1000, "linked": 1000, "reservations": 1000.0, "kib_a_node": 35.0}
    assert relay_idle.missed({**report, **planted}) == named


def test_holes_between_cones_are_counted_and_others_are_not_judged() -> None:
    good = hole_punching.summary([TRY] * 19 + [FAILED])
    assert (good["tries"], good["direct"], good["because"]) == (20, 0.95, ["no way through"])
    poor, none = (
        hole_punching.summary([TRY] * 18 + [FAILED] * 2),
        hole_punching.summary([FAILED] * 20),
    )
    report = {"cone - cone": poor, "cone - double cone": good, "cone - symmetric": none}
    assert hole_punching.missed(report) == ["cone - cone"]
