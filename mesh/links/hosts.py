"""Hosts as IP addresses: one form of each, which range it is from, which network it belongs to."""

from __future__ import annotations

import ipaddress

from mesh.links.pipe import parse_address

IPV4_NETWORK = 16
IPV6_NETWORK = 32
"""Bits that the addresses of one provider or one large site share: what counts as one network."""
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface

_INSIDE = tuple(
    map(
        ipaddress.ip_network,
        (
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "100.64.0.0/10",  # RFC 6598: between a provider's customers and its routers
            "169.254.0.0/16",
            "127.0.0.0/8",
            "fc00::/7",
            "fe80::/10",
            "::1/128",
        ),
    )
)


def read_host(text: str) -> IpAddress:
    """An IP address without its zone; IPv4 within IPv6 becomes IPv4. Raises ValueError."""
    address = ipaddress.ip_address(text.split("%")[0])
    mapped: ipaddress.IPv4Address | None = getattr(address, "ipv4_mapped", None)
    return mapped or address


def plain_host(text: str) -> str:
    """An IP address in the form in which hosts are compared and counted. Raises ValueError."""
    return str(read_host(text))


def host_of(url: str) -> str | None:
    """The host of a link's address, where that is an IP address."""
    try:
        return plain_host(parse_address(url).host)
    except ValueError:
        return None


def tcp_host(url: str) -> str | None:
    """The host at the other end of a plain connection.

    None for whatever leads through a proxy or a relay: the host seen there is not the node's.
    """
    return host_of(url) if url.startswith("tcp://") else None


def is_inside(host: str) -> bool:
    """Whether an address means different machines in different places (RFC 1918, 4193, 6598)."""
    address = read_host(host)
    return any(address in network for network in _INSIDE if network.version == address.version)


def network_of(host: str) -> str:
    """The network that a host is counted to: /16 of IPv4, /32 of IPv6."""
    address = read_host(host)
    bits = IPV4_NETWORK if address.version == 4 else IPV6_NETWORK
    return str(ipaddress.ip_network((address, bits), strict=False))
