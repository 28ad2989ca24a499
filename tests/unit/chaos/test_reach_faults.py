"""A report about reach is judged: each thing that must not be is named, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from chaos.connect_proxy import read_target
from chaos.nat_rules import Forwarded, NatKind, router_rules
from chaos.reach import Tally, faults


def sound() -> Tally:
    return Tally(
        jobs=6,
        unreached_before=2,
        relayed={"public-0": {"circuits": 2.0}},
        captured_bytes=9_000,
        planted_found=True,
    )


def test_a_sound_run_has_no_faults() -> None:
    assert faults(sound().report(), 2, 6) == []


@pytest.mark.parametrize(
    ("planted", "named"),
    [
        ({"reached_before": ["a asks b"]}, "a private pair did jobs without relays"),
        ({"unreached_before": 1}, "a pair was not tried without relays"),
        ({"jobs": 5}, "not all jobs were done"),
        ({"failures": ["a asks b: too late"]}, "not all jobs were done"),
        ({"relayed": {"public-0": {"circuits": 0.0}}}, "relays counted no circuits"),
        ({"plaintext": ["public-0: prompt"]}, "a relay saw what it carried"),
        ({"frames_lost": 1}, "the capture lost frames or saw nothing"),
        ({"captured_bytes": 0}, "the capture lost frames or saw nothing"),
        ({"planted_found": False}, "the search does not find plaintext that is there"),
    ],
)
def test_each_fault_is_named(planted: dict[str, Any], named: str) -> None:
    tally = sound()
    for field, value in planted.items():
        setattr(tally, field, value)
    assert faults(tally.report(), 2, 6) == [named]


def test_kinds_of_routers_differ_where_they_should() -> None:
    rules = {kind: router_rules(kind) for kind in NatKind}
    assert len(set(rules.values())) == len(rules)
    assert [kind for kind, text in rules.items() if "fully-random" in text] == [NatKind.SYMMETRIC]
    assert "lan" not in rules[NatKind.PROXY].split("chain through")[1].split("chain in")[0]


def test_a_forwarded_port_leads_to_its_host_by_tcp_and_udp() -> None:
    text = router_rules(NatKind.CONE, (Forwarded(7718, "192.168.1.10"),))
    for protocol in ("tcp", "udp"):
        assert f'iifname "wan" {protocol} dport 7718 dnat to 192.168.1.10:7718' in text


@pytest.mark.parametrize(
    ("line", "target"),
    [
        ("CONNECT 45.1.0.10:443 HTTP/1.1", ("45.1.0.10", 443)),
        ("CONNECT 45.1.0.10:4000 HTTP/1.1", None),
        ("CONNECT :443 HTTP/1.1", None),
        ("GET http://45.1.0.10/ HTTP/1.1", None),
        ("CONNECT 45.1.0.10:443", None),
        ("", None),
    ],
)
def test_the_proxy_lets_only_tls_through(line: str, target: tuple[str, int] | None) -> None:
    assert read_target(line.encode() + b"\r\n\r\n") == target
