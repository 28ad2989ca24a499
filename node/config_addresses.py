"""Settings that are addresses: where to listen, whom to join, which URLs to use."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from node.config_values import SECRET, BadValue

ENGINE_WORDS = ("demo", "none", "auto", "llama")

_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?\.?")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a socket listens. Port 0 stands for any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """True when only programs on this machine can reach the address."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_address(raw: object) -> Address:
    """HOST:PORT; IPv6 in brackets. Port 0 is allowed."""
    allowed = "give HOST:PORT, such as 127.0.0.1:7717, [::1]:7717 or 127.0.0.1:0 for any free port"
    if isinstance(raw, Address):
        return raw
    if not isinstance(raw, str):
        raise BadValue(raw, allowed)
    host, colon, port = raw.strip().rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise BadValue(raw, allowed)
    return Address(_parse_host(host, raw, allowed), int(port))


def parse_url(raw: object, schemes: tuple[str, ...] = ("http", "https")) -> str:
    """A URL with one of the schemes, a host and no user name, query or fragment."""
    allowed = f"give a URL such as {schemes[0]}://host:1234, with {' or '.join(schemes)}"
    if not isinstance(raw, str):
        raise BadValue(raw, allowed)
    try:
        parts = urlsplit(raw.strip())
        port = parts.port
    except ValueError:
        raise BadValue(raw, allowed) from None
    if parts.scheme not in schemes or not parts.hostname or port == 0:
        raise BadValue(raw, allowed)
    if parts.username is not None or parts.query or parts.fragment:
        raise BadValue(SECRET, f"{allowed}, without a user name, '?' or '#'")
    _parse_host(parts.netloc.removesuffix(f":{port}"), raw, allowed)
    return raw.strip().rstrip("/")


def parse_engine(raw: object) -> str:
    """One of the engine words, or the URL of an engine."""
    if isinstance(raw, str) and raw.strip() in ENGINE_WORDS:
        return raw.strip()
    try:
        return parse_url(raw)
    except BadValue:
        allowed = "give demo, none, auto, llama or a URL such as http://127.0.0.1:11434"
        raise BadValue(raw, allowed) from None


def parse_origin(raw: object) -> str:
    """An origin as browsers send it (scheme://host[:port]), or "*"."""
    if raw == "*":
        return "*"
    try:
        url = parse_url(raw)
    except BadValue:
        raise BadValue(raw, "give an origin such as https://app.example.org, or *") from None
    if urlsplit(url).path:
        raise BadValue(raw, "an origin has no path; give one such as https://app.example.org")
    return url.lower()


def _parse_host(host: str, raw: object, allowed: str) -> str:
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if bare != host or ":" in host:
        try:
            ipaddress.IPv6Address(bare)
        except ValueError:
            raise BadValue(raw, allowed) from None
        if bare == host:
            raise BadValue(raw, f"{allowed}; an IPv6 address stands in brackets")
        return bare
    if not _HOST.fullmatch(host):
        raise BadValue(raw, allowed)
    return host
