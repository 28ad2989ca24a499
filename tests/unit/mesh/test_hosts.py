"""Hosts in one form, what range they are from, and which network they count to."""

from __future__ import annotations

import pytest

from mesh.links.hosts import host_of, is_inside, network_of, plain_host, tcp_host


@pytest.mark.parametrize(
    ("host", "plain"),
    [("192.0.2.7", "192.0.2.7"), ("::ffff:192.0.2.7", "192.0.2.7"), ("fe80::1%eth0", "fe80::1")],
)
def test_hosts_are_compared_in_one_form(host: str, plain: str) -> None:
    assert plain_host(host) == plain


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        ("192.168.1.7", True),
        ("172.31.0.1", True),
        ("172.32.0.1", False),
        ("100.64.0.1", True),
        ("100.128.0.1", False),
        ("127.0.0.1", True),
        ("203.0.113.7", False),
        ("fd00::1", True),
        ("fe80::1%eth0", True),
        ("2001:db8::1", False),
        ("::ffff:10.0.0.1", True),
    ],
)
def test_addresses_that_mean_something_only_in_one_place(host: str, inside: bool) -> None:
    assert is_inside(host) is inside


def test_hosts_of_one_provider_count_to_one_network() -> None:
    assert network_of("203.0.113.7") == network_of("203.0.0.1") != network_of("203.1.0.1")
    assert network_of("2001:db8:1::1") == network_of("2001:db8:2::1") != network_of("2001:db9::1")


@pytest.mark.parametrize(
    ("url", "host", "direct"),
    [
        ("tcp://203.0.113.7:7718", "203.0.113.7", "203.0.113.7"),
        ("tcp://[2001:db8::1]:7718", "2001:db8::1", "2001:db8::1"),
        ("ws://203.0.113.7:7717/mesh", "203.0.113.7", None),
        ("tcp://node.example.org:7718", None, None),
        ("nonsense", None, None),
    ],
)
def test_only_plain_connections_tell_where_a_node_is(
    url: str, host: str | None, direct: str | None
) -> None:
    assert host_of(url) == host
    assert tcp_host(url) == direct
