"""Which network an address belongs to, and how many of one are too many."""

from __future__ import annotations

import pytest

from dht.networks import Bounds, Network, NetworkCount, fits, network_of, network_of_node


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("tcp://9.8.7.6:1", Network("9.8.7.0/24", "9.8.0.0/16")),
        ("tcp://[2a01:4f8:1:2::3]:1", Network("2a01:4f8:1::/48", "2a01:4f8::/32")),
        ("tcp://[::ffff:9.8.7.6]:1", Network("9.8.7.0/24", "9.8.0.0/16")),
        ("tcp://[2002:908:706::1]:1", Network("9.8.7.0/24", "9.8.0.0/16")),
        ("wss://one.tunnel.example/mesh", Network("tunnel.example", "tunnel.example")),
    ],
)
def test_public_addresses_belong_to_networks(address: str, network: Network) -> None:
    assert network_of(address) == network


@pytest.mark.parametrize(
    "address",
    [
        "tcp://127.0.0.1:1",
        "tcp://[::1]:1",
        "tcp://192.168.1.2:1",
        "tcp://10.1.2.3:1",
        "tcp://100.64.1.1:1",
        "tcp://169.254.1.1:1",
        "tcp://[fd00::1]:1",
        "tcp://[fe80::1]:1",
        "tcp://localhost:1",
        "tcp://printer.local:1",
        "not an address",
    ],
)
def test_local_addresses_are_not_counted(address: str) -> None:
    assert network_of(address) is None


def test_what_the_link_shows_counts_not_what_is_claimed() -> None:
    claimed = ("tcp://1.2.3.4:1", "tcp://192.168.1.2:1")
    assert network_of_node("tcp://9.8.7.6:999", claimed) == network_of("tcp://9.8.7.6:1")


def test_behind_a_proxy_on_this_side_the_claimed_network_counts() -> None:
    assert network_of_node("ws://172.17.0.1:9/mesh", ("tcp://1.2.3.4:1",)) == network_of(
        "tcp://1.2.3.4:1"
    )
    on_the_lan = ("tcp://1.2.3.4:1", "tcp://192.168.1.2:1")
    assert network_of_node("tcp://192.168.1.2:999", on_the_lan) is None


def test_few_of_a_network_fit_and_all_local_ones() -> None:
    bounds = Bounds(2, 3)
    near = [network_of(f"tcp://9.8.7.{number}:1") for number in range(3)]
    wide = [network_of(f"tcp://9.8.{number}.1:1") for number in range(5)]
    assert fits(near[2], near[:1], bounds)
    assert not fits(near[2], near[:2], bounds)
    assert not fits(wide[3], wide[:3], bounds)
    assert fits(None, [None] * 50, bounds)
    count = NetworkCount(bounds)
    assert [count.take(each) for each in (*near, *wide[:2], None)] == [
        True,
        True,
        False,
        True,
        False,
        True,
    ]
