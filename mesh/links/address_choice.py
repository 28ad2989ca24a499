"""Which of a peer's addresses are dialled, in which order. Pure.

An address of a private network names a different machine in every place. It is worth a try where
both nodes are in that network, or behind the same router; elsewhere it is a stranger's at best.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache

from mesh.links.hosts import Interface, host_of, is_inside, read_host

_SHARED_SPACE = ipaddress.ip_network("100.64.0.0/10")
"""Overlay networks give each machine one address of it, alone in its network."""


class _Way(IntEnum):
    """How good a way is; the lowest first."""

    NEAR = 0
    DIRECT = 1
    ELSEWHERE = 2
    RELAYED = 3


_Private = tuple[int, int]
"""IP version and number of an address of a private network."""


@dataclass(frozen=True, slots=True)
class OwnPlace:
    """Where this node is. Nothing known: every address may be near."""

    interfaces: tuple[Interface, ...] = ()
    outside: tuple[str, ...] = ()
    """Hosts that nodes elsewhere see this node as."""
    _networks: tuple[tuple[int, int, int], ...] = field(init=False, repr=False, compare=False)
    """IP version, first address and mask of each; asked for thousands of nodes at a time."""

    def __post_init__(self) -> None:
        networks = (_SHARED_SPACE if _is_lone(each) else each.network for each in self.interfaces)
        numbers = ((n.version, int(n.network_address), int(n.netmask)) for n in networks)
        object.__setattr__(self, "_networks", tuple(numbers))

    def shares(self, private: _Private) -> bool:
        """Whether a private address is in a network of this node's."""
        version, number = private
        for network, first, mask in self._networks:
            if network == version and number & mask == first:
                return True
        return not self._networks


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


def has_way(place: OwnPlace, addresses: Sequence[str]) -> bool:
    """Whether there is an address that may lead from here to the node and not to a stranger."""
    privates = [_private_address(each) for each in addresses]
    return None in privates or any(each and place.shares(each) for each in privates)


def _rate(place: OwnPlace, address: str, *, behind_same: bool) -> _Way:
    if address.startswith("relay:"):
        return _Way.RELAYED
    private = _private_address(address)
    if private is None:
        return _Way.DIRECT
    return _Way.NEAR if behind_same or place.shares(private) else _Way.ELSEWHERE


def _is_lone(interface: Interface) -> bool:
    """Alone in its network, as machines of an overlay network are."""
    alone = interface.network.prefixlen == interface.max_prefixlen
    return alone and interface.ip in _SHARED_SPACE


@lru_cache(maxsize=16_384)
def _private_address(url: str) -> _Private | None:
    """The host, where it is an address of a private network; taken apart once for each address."""
    host = None if url.startswith("relay:") else host_of(url)
    if host is None or not is_inside(host):
        return None
    address = read_host(host)
    return address.version, int(address)
