"""In which network a node lives: what costs an attacker something, where identities are free."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from mesh.links.pipe import parse_address

_MAX_PARSED = 4_096
"""Addresses whose network is remembered, so that each is taken apart once."""


class Network(NamedTuple):
    """The network of one customer and the larger one it belongs to."""

    narrow: str
    """/24 (IPv4) or /48 (IPv6); of a host name its last two labels."""
    wide: str
    """/16 (IPv4) or /32 (IPv6); of a host name the same as `narrow`."""


class Bounds(NamedTuple):
    """How many may come from one network. S/Kademlia's ids cost nothing, addresses do."""

    narrow: int
    wide: int


@lru_cache(maxsize=_MAX_PARSED)
def network_of(address: str) -> Network | None:
    """The network of an address URL; None for local ones and nonsense, which nothing bounds.

    Local is whatever is not routed on the public internet: loopback, private, link-local, CGNAT.
    A remote attacker cannot come from there, and a mesh in one room has only one such network.
    """
    try:
        host = parse_address(address).host
    except ValueError:
        return None
    try:
        ip = ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        return _of_name(host)
    return _of_address(ip)


def network_of_node(observed: str, claimed: Iterable[str]) -> Network | None:
    """The network of a peer: that of the address its link was observed at, where that is public.

    A local address that the peer does not claim is a proxy's or a container bridge's, which many
    strangers share: then the first public address it claims counts.
    """
    network = network_of(observed)
    if network is not None:
        return network
    claimed = tuple(claimed)
    if any(_host(each) == _host(observed) for each in claimed):
        return None
    return network_of_claim(claimed)


def network_of_claim(claimed: Iterable[str]) -> Network | None:
    """The network of the first public address somebody claims; None when all are local."""
    for each in claimed:
        network = network_of(each)
        if network is not None:
            return network
    return None


def fits(network: Network | None, others: Iterable[Network | None], bounds: Bounds) -> bool:
    """Whether one more of a network is within bounds, beside these others."""
    if network is None:
        return True
    narrow = wide = 0
    for other in others:
        if other is not None:
            narrow += other.narrow == network.narrow
            wide += other.wide == network.wide
    return narrow < bounds.narrow and wide < bounds.wide


class NetworkCount:
    """Counts members by network, and says who would be too many."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._narrow: Counter[str] = Counter()
        self._wide: Counter[str] = Counter()

    def fits(self, network: Network | None) -> bool:
        """Whether one more is within bounds."""
        if network is None:
            return True
        return (
            self._narrow[network.narrow] < self._bounds.narrow
            and self._wide[network.wide] < self._bounds.wide
        )

    def add(self, network: Network | None) -> None:
        """Count one more."""
        if network is not None:
            self._narrow[network.narrow] += 1
            self._wide[network.wide] += 1

    def take(self, network: Network | None) -> bool:
        """Count one more if it is within bounds; whether it was."""
        if not self.fits(network):
            return False
        self.add(network)
        return True


def _host(address: str) -> str:
    try:
        return parse_address(address).host
    except ValueError:
        return ""


def _of_name(host: str) -> Network | None:
    """Names below one domain cost its owner nothing, so they count as one network."""
    labels = host.rstrip(".").lower().split(".")
    if len(labels) < 2 or labels[-1] == "local":
        return None
    domain = ".".join(labels[-2:])
    return Network(domain, domain)


def _of_address(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Network | None:
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is not None:
            return _of_address(inner)
    if not ip.is_global:
        return None
    narrow, wide = (24, 16) if ip.version == 4 else (48, 32)
    return Network(_prefix(ip, narrow), _prefix(ip, wide))


def _prefix(ip: ipaddress.IPv4Address | ipaddress.IPv6Address, bits: int) -> str:
    return str(ipaddress.ip_network((ip, bits), strict=False))
