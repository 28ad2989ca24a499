"""Turns a DNS name that stands for several nodes into their addresses (RFC 1035, RFC 3596)."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterable

from dht.join_address import JoinAddress
from mesh.links.pipe import Address, parse_address

log = logging.getLogger(__name__)

RESOLVE_TIMEOUT = 3.0
MAX_PER_NAME = 16
"""Addresses used of one name."""


async def resolve_all(names: Iterable[JoinAddress]) -> list[JoinAddress]:
    """Every address behind the names; what does not resolve is logged and left out.

    Only tcp:// names are spread: a web address needs its name for TLS and is kept as it is.
    """
    found: list[JoinAddress] = []
    for name in names:
        found.extend(await _resolve(name))
    return found


async def _resolve(name: JoinAddress) -> list[JoinAddress]:
    place = parse_address(name.url)
    if place.scheme != "tcp":
        return [name]
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT):
            rows = await loop.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError) as error:
        log.debug("%s does not resolve: %s", place.host, error)
        return []
    hosts = dict.fromkeys(str(row[4][0]) for row in rows)
    urls = [str(Address("tcp", host, place.port)) for host in hosts][:MAX_PER_NAME]
    return [JoinAddress(url, name.node) for url in urls]
