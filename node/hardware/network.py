"""Which of the machine's addresses the internet could route to.

After the IANA special-purpose registries for IPv4 and IPv6 (2025-10). `ipaddress.is_global` is
not enough: before Python 3.11.10 and 3.12.4 it calls most of 192.0.0.0/24 global, and in all
versions multicast, site-local, 6to4 and NAT64 addresses, none of which a peer can dial.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

import psutil

from node.hardware.hardware import Address, Network, Scope

IPAddress = IPv4Address | IPv6Address

MAX_ADDRESSES = 256
"""A container host has one address per bridge; beyond this nothing new is learned."""

GLOBAL_UNICAST = IPv6Network("2000::/3")
"""The only part of IPv6 that IANA hands out."""

SCOPES: tuple[tuple[str, Scope], ...] = (
    ("0.0.0.0/8", "other"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "shared"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "other"),
    ("192.0.2.0/24", "documentation"),
    ("192.88.99.0/24", "other"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "other"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "other"),
    ("240.0.0.0/4", "other"),
    ("::1/128", "loopback"),
    ("fc00::/7", "unique-local"),
    ("fe80::/10", "link-local"),
    ("2001:db8::/32", "documentation"),
    ("3fff::/20", "documentation"),
    ("2001::/23", "other"),
    ("2002::/16", "other"),
)
NETWORKS = tuple((ip_network(text), scope) for text, scope in SCOPES)


def scope_of(text: str) -> Scope:
    """Where an address is valid; IPv4 inside IPv6 (::ffff:a.b.c.d) counts as the IPv4 address.

    Raises ValueError when `text` is no IP address.
    """
    address: IPAddress = ip_address(text)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    for network, scope in NETWORKS:
        if address.version == network.version and address in network:
            return scope
    unicast = address.version == 4 or address in GLOBAL_UNICAST
    return "global" if unicast and address.is_global else "other"


def is_public(text: str) -> bool:
    """True when the whole internet could route to this address; False for what is no address."""
    try:
        return scope_of(text) == "global"
    except ValueError:
        return False


def probe_network() -> Network:
    """Addresses of the running machine's interfaces that are up."""
    up = {name for name, stats in psutil.net_if_stats().items() if stats.isup}
    interfaces = {name: found for name, found in psutil.net_if_addrs().items() if name in up}
    return sort_addresses(interfaces)


def sort_addresses(interfaces: Mapping[str, Sequence[Any]]) -> Network:
    """What psutil's `net_if_addrs` answers, as addresses with their scope."""
    found = []
    for interface, entries in interfaces.items():
        for entry in entries:
            if entry.family in (socket.AF_INET, socket.AF_INET6):
                ip = str(entry.address).partition("%")[0]
                found.append(Address(interface, ip, scope_of(ip)))
    return Network(tuple(found[:MAX_ADDRESSES]))
