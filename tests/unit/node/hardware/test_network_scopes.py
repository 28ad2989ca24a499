"""Which addresses are really public."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.hardware.hardware import Address, Network
from node.hardware.network import (
    MAX_ADDRESSES,
    NETWORKS,
    is_public,
    probe_network,
    scope_of,
    sort_addresses,
)


@pytest.mark.parametrize(
    ("address", "scope"),
    [
        ("172.18.0.3", "private"),
        ("172.31.255.255", "private"),
        ("10.1.2.3", "private"),
        ("192.168.1.2", "private"),
        ("100.64.1.2", "shared"),
        ("100.127.255.255", "shared"),
        ("169.254.1.1", "link-local"),
        ("127.0.0.1", "loopback"),
        ("0.0.0.0", "other"),
        ("192.0.0.8", "other"),
        ("192.0.0.9", "other"),
        ("192.0.2.1", "documentation"),
        ("198.51.100.7", "documentation"),
        ("203.0.113.9", "documentation"),
        ("198.18.0.1", "other"),
        ("192.88.99.1", "other"),
        ("224.0.0.251", "other"),
        ("255.255.255.255", "other"),
        ("::1", "loopback"),
        ("::", "other"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("fd12:3456::1", "unique-local"),
        ("fec0::1", "other"),
        ("ff02::1", "other"),
        ("2001:db8::1", "documentation"),
        ("3fff::1", "documentation"),
        ("2001::1", "other"),
        ("2002:808:808::1", "other"),
        ("64:ff9b::808:808", "other"),
        ("::8.8.8.8", "other"),
        ("::ffff:10.0.0.1", "private"),
        ("::ffff:100.64.0.1", "shared"),
        ("::ffff:8.8.8.8", "global"),
    ],
)
def test_special_addresses(address: str, scope: str) -> None:
    assert scope_of(address) == scope
    assert is_public(address) == (scope == "global")


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "172.15.255.255",
        "172.32.0.1",
        "100.63.255.255",
        "100.128.0.1",
        "169.253.1.1",
        "192.0.1.1",
        "2606:4700::1111",
        "2a01:4f8::1",
    ],
)
def test_neighbours_of_the_special_ranges_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("text", ["", "localhost", "8.8.8.8:80", "300.1.1.1", "1.2.3"])
def test_what_is_no_address_is_not_public(text: str) -> None:
    assert not is_public(text)
    with pytest.raises(ValueError, match="does not appear to be"):
        scope_of(text)


@given(st.ip_addresses())
def test_nothing_in_a_special_range_is_public(address: object) -> None:
    inside = any(
        network.version == address.version and address in network  # type: ignore[attr-defined]
        for network, _ in NETWORKS
    )
    assert not (inside and is_public(str(address)))


def entry(family: int, address: str) -> SimpleNamespace:
    """One entry of psutil's answer."""
    return SimpleNamespace(family=family, address=address)


def test_interfaces_become_addresses_with_scope() -> None:
    found = sort_addresses(
        {
            "eth0": [
                entry(socket.AF_INET, "100.64.1.2"),
                entry(socket.AF_INET6, "fe80::1%eth0"),
                entry(socket.AF_INET6, "2a01:4f8::1"),
                entry(-1, "02:fc:00:00:00:01"),
            ],
        }
    )
    assert found.addresses == (
        Address("eth0", "100.64.1.2", "shared"),
        Address("eth0", "fe80::1", "link-local"),
        Address("eth0", "2a01:4f8::1", "global"),
    )
    assert found.global_addresses == ("2a01:4f8::1",)


def test_a_host_of_many_bridges_is_cut() -> None:
    many = [entry(socket.AF_INET, f"10.0.{n // 250}.{n % 250}") for n in range(MAX_ADDRESSES + 9)]
    assert len(sort_addresses({"br0": many}).addresses) == MAX_ADDRESSES


def test_the_running_machine_has_loopback() -> None:
    found = probe_network()
    assert "loopback" in {address.scope for address in found.addresses}
    assert isinstance(found, Network)
