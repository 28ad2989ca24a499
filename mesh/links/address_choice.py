"""Which of a peer's addresses are dialled, in which order. Pure.

An address of a private network names a different machine in every place. It is worth a try where
both nodes are in that network, or behind the same router; elsewhere it is a stranger's at best.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from mesh.links.hosts import Interface, host_of, is_inside, read_host

_SHARED_SPACE = ipaddress.ip_network("100.64.0.0/10")
"""Overlay networks give each machine one address of it, alone in its network."""


class _Way(IntEnum):
    """How good a way is; the lowest first."""

    NEAR = 0
    DIRECT = 1
    ELSEWHERE = 2
    RELAYED = 3


@dataclass(frozen=True, slots=True)
class OwnPlace:
    """Where this node is. Nothing known: every address may be near."""

    interfaces: tuple[Interface, ...] = ()
    outside: tuple[str, ...] = ()
    """Hosts that nodes elsewhere see this node as."""

    def shares(self, host: str) -> bool:
        """Whether a private address is in a network of this node's."""
        address = read_host(host)
        for each in self.interfaces:
            lone = each.network.prefixlen == each.max_prefixlen and each.ip in _SHARED_SPACE
            if address in (_SHARED_SPACE if lone else each.network):
                return True
        return not self.interfaces


def choose_addresses(place: OwnPlace, addresses: Sequence[str]) -> tuple[str, ...]:
    """Those to dial: near ones first, then what works from anywhere, relays last.

    Private addresses of other places are left out where there is another way. The order within each
    kind is the peer's.
    """
    behind_same = any(host_of(each) in place.outside for each in addresses)
    ways = {each: _rate(place, each, behind_same=behind_same) for each in addresses}
    if any(way is not _Way.ELSEWHERE for way in ways.values()):
        ways = {each: way for each, way in ways.items() if way is not _Way.ELSEWHERE}
    return tuple(sorted(ways, key=ways.__getitem__))


def _rate(place: OwnPlace, address: str, *, behind_same: bool) -> _Way:
    if address.startswith("relay:"):
        return _Way.RELAYED
    host = host_of(address)
    if host is None or not is_inside(host):
        return _Way.DIRECT
    return _Way.NEAR if behind_same or place.shares(host) else _Way.ELSEWHERE
