"""Who may speak to this port at all: host names, origins, tokens. Pure functions on headers.

A page in a browser can send requests to loopback; `Host` tells DNS rebinding (the name is the
attacker's), `Origin` tells a foreign page (the name is ours, the page is not).
"""

from __future__ import annotations

import ipaddress
import re
from asyncio import BaseTransport
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import cast, get_args
from urllib.parse import urlsplit

from mesh.errors import InvalidRequest
from mesh.jobs import Privacy
from node.gateway.exchange import Headers
from node.gateway.limits import MAX_REQUEST_ID

_UNSAFE = re.compile(r"[^A-Za-z0-9._:/+=@-]")
_PROXY_HEADERS = ("forwarded", "x-forwarded-for", "via", "x-real-ip")
ANY_ORIGIN = "*"
DOOR = "electrons_door"
"""What transports that came through a door tell by get_extra_info: the public name."""
PRIVACY_HEADER = "x-electrons-privacy"
_ALLOWED_HEADERS = f"authorization, content-type, x-api-key, x-request-id, {PRIVACY_HEADER}"
_EXPOSED_HEADERS = (
    "x-request-id, x-electrons-node, x-electrons-privacy, x-electrons-queue-ms, "
    "x-electrons-routing-ms, retry-after"
)
PREFLIGHT_SECONDS = 86400


def is_loopback(address: str) -> bool:
    """True for addresses that only this machine can use, IPv4-mapped ones included."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback


def door_of(transport: BaseTransport | None) -> str:
    """The public name by which a connection came through another node's door; "" mostly."""
    return "" if transport is None else str(transport.get_extra_info(DOOR) or "")


def host_name(host: str) -> str:
    """The name in a Host header: no port, no brackets, lower case, no final dot."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].rstrip(".").lower()


@lru_cache(maxsize=256)
def host_allowed(host: str, allowed: tuple[str, ...]) -> bool:
    """Whether a loopback-bound gateway answers to this Host header."""
    name = host_name(host)
    return name == "localhost" or is_loopback(name) or name in allowed


def origin_allowed(headers: Mapping[str, str], allowed: Collection[str]) -> bool:
    """Whether the page a request comes from may use this gateway; no page at all always may."""
    origin = headers.get("origin")
    if origin is None or origin in allowed or ANY_ORIGIN in allowed:
        return True
    try:
        return urlsplit(origin).netloc.lower() == headers.get("host", "").lower() != ""
    except ValueError:
        return False


def cors_headers(headers: Mapping[str, str], allowed: Collection[str]) -> Headers:
    """What lets a configured origin's page read the answer; empty for everybody else."""
    origin = headers.get("origin")
    if origin is None or not (origin in allowed or ANY_ORIGIN in allowed):
        return []
    return [
        ("access-control-allow-origin", origin),
        ("access-control-expose-headers", _EXPOSED_HEADERS),
        ("vary", "Origin"),
    ]


def preflight_headers(methods: str) -> Headers:
    """What a preflight asks for beside `cors_headers` (WHATWG Fetch, CORS protocol)."""
    return [
        ("access-control-allow-methods", methods),
        ("access-control-allow-headers", _ALLOWED_HEADERS),
        ("access-control-max-age", str(PREFLIGHT_SECONDS)),
    ]


def token_of(headers: Mapping[str, str]) -> str | None:
    """The API key a request presents: Bearer first, then x-api-key."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return headers.get("x-api-key") or None


def privacy_of(headers: Mapping[str, str], default: Privacy = "public") -> Privacy:
    """The least that a worker must be for this request. Raises InvalidRequest."""
    asked = headers.get(PRIVACY_HEADER)
    if asked is None:
        return default
    for known in get_args(Privacy):
        if asked == known:
            return cast(Privacy, known)
    words = f"{PRIVACY_HEADER} must be one of {', '.join(get_args(Privacy))}"
    raise InvalidRequest(words, param=PRIVACY_HEADER)


def came_by_proxy(headers: Mapping[str, str]) -> bool:
    """True when a proxy on this machine forwards for somebody else."""
    return any(name in headers for name in _PROXY_HEADERS)


def request_id_of(headers: Mapping[str, str], fallback: str) -> str:
    """The caller's x-request-id, bounded and with unsafe characters removed, or the fallback."""
    given = headers.get("x-request-id")
    if not given:
        return fallback
    return _UNSAFE.sub("", given[:MAX_REQUEST_ID]) or fallback
