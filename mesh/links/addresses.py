"""Under which URLs a listening socket can be reached."""

from __future__ import annotations

import ipaddress
import socket

import psutil

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


def _own_hosts() -> list[str]:
    up = {name for name, stats in psutil.net_if_stats().items() if stats.isup}
    found: dict[str, None] = {}
    for name, addresses in psutil.net_if_addrs().items():
        for entry in addresses:
            if name in up and entry.family in (socket.AF_INET, socket.AF_INET6):
                address = ipaddress.ip_address(entry.address.split("%")[0])
                if not (address.is_loopback or address.is_link_local):
                    found[str(address)] = None
    return sorted(found, key=lambda text: ":" in text)[:MAX_LISTENING]
