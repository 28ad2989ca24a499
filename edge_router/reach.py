"""Which of a node's addresses an edge router may dial. Pure.

Anybody can announce anything, so an edge that dialled every address would scan other people's
networks for them. It dials back to where the announcement came from, and through public web names.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from mesh.links.hosts import host_of
from mesh.links.pipe import Address, parse_address

MAX_DIALLED = 4
"""Addresses of one node that are dialled."""
_DIRECT = frozenset({"tcp", "ws", "wss"})
_WEB_PORTS = frozenset({80, 443})
_PRIVATE_NAMES = (".local", ".internal", ".localhost", ".lan", ".home.arpa")


def dialable_from(source: str, urls: Iterable[str]) -> list[Address]:
    """The addresses to dial for an announcement that came from `source`."""
    found: list[Address] = []
    for url in urls:
        try:
            address = parse_address(url)
        except ValueError:
            continue
        if _leads_back(address, source) or _is_public_web(address):
            found.append(address)
    return found[:MAX_DIALLED]


def _leads_back(address: Address, source: str) -> bool:
    return address.scheme in _DIRECT and host_of(str(address)) == source


def _is_public_web(address: Address) -> bool:
    """A name behind TLS on a web port: a tunnel's or proxy's front, not a machine in some LAN."""
    if address.scheme != "wss" or address.port not in _WEB_PORTS or "." not in address.host:
        return False
    try:
        ipaddress.ip_address(address.host)
    except ValueError:
        return not address.host.endswith(
            (".local", ".internal", ".localhost", ".lan", ".home.arpa")
        )
    return False
