"""Under which URLs a listening socket can be reached."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator

import psutil

from mesh.links.hosts import Interface, read_host
from mesh.links.pipe import Address

MAX_LISTENING = 8
"""Addresses told to peers; machines with many virtual interfaces have dozens."""


def listening_urls(host: str, port: int) -> tuple[str, ...]:
    """tcp:// URLs of a bound host and port; a wildcard host becomes this machine's addresses.

    Loopback comes last, and is left out when there is anything else.
    """
    if host and not _is_wildcard(host):
        return (str(Address("tcp", host, port)),)
    hosts = [found for found in _own_hosts() if host != "0.0.0.0" or ":" not in found]
    return tuple(str(Address("tcp", found, port)) for found in (hosts or ["127.0.0.1"]))


def _is_wildcard(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def own_interfaces() -> tuple[Interface, ...]:
    """Every address of this machine that is up, loopback included, each with its network."""
    found: dict[Interface, None] = {}
    for host, mask in _addresses_up():
        address = read_host(host)
        found[ipaddress.ip_interface(f"{address}/{_prefix(mask, address.max_prefixlen)}")] = None
    return tuple(found)


def _own_hosts() -> list[str]:
    found: dict[str, None] = {}
    for host, _ in _addresses_up():
        address = read_host(host)
        if not (address.is_loopback or address.is_link_local):
            found[str(address)] = None
    return sorted(found, key=lambda text: ":" in text)[:MAX_LISTENING]


def _addresses_up() -> Iterator[tuple[str, str | None]]:
    """Addresses and network masks of interfaces that are up."""
    up = {name for name, stats in psutil.net_if_stats().items() if stats.isup}
    for name, addresses in psutil.net_if_addrs().items():
        for entry in addresses:
            if name in up and entry.family in (socket.AF_INET, socket.AF_INET6):
                yield entry.address, entry.netmask


def _prefix(mask: str | None, whole: int) -> int:
    """The bits of a network mask; the address alone where there is none."""
    return bin(int(ipaddress.ip_address(mask))).count("1") if mask else whole
