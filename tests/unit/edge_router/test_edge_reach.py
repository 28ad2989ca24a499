"""Which addresses an edge router dials, and how often it listens to one source."""

from __future__ import annotations

from edge_router.rates import MAX_SOURCES, Rates
from edge_router.reach import MAX_DIALLED, dialable_from


def test_only_the_way_back_and_public_web_names_are_dialled() -> None:
    urls = [
        "tcp://192.0.2.7:7400",
        "tcp://10.0.0.1:22",
        "tcp://metadata.internal:80",
        "wss://node.example.org/mesh",
        "wss://10.0.0.1/mesh",
        "wss://printer.local/mesh",
        "wss://node.example.org:8443/mesh",
        "ws://node.example.org/mesh",
        f"relay://192.0.2.7:7400/{'ab' * 20}/{'cd' * 20}",
        "nonsense",
    ]
    assert [str(each) for each in dialable_from("192.0.2.7", urls)] == [
        "tcp://192.0.2.7:7400",
        "wss://node.example.org:443/mesh",
    ]


def test_few_addresses_of_one_node_are_dialled() -> None:
    urls = [f"tcp://192.0.2.7:{port}" for port in range(7400, 7416)]
    assert len(dialable_from("192.0.2.7", urls)) == MAX_DIALLED


def test_each_source_has_its_own_rate() -> None:
    rates = Rates(rate=2, burst=3)
    assert [rates.wait("a", 0.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert rates.wait("b", 0.0) == 0.0
    assert rates.wait("a", 0.5) == 0.0


def test_sources_remembered_are_bounded() -> None:
    rates = Rates(rate=1, burst=1)
    for number in range(MAX_SOURCES + 100):
        rates.wait(str(number), 0.0)
    assert len(rates._buckets) == MAX_SOURCES
