"""HTTP proxies on the way out: which connection goes through which, and the CONNECT that opens it.

CONNECT (RFC 9110, 9.3.6) for everything, as RFC 6455, 4.1 asks for WebSockets: a proxy that is
asked to forward an upgrade drops it as a matter between neighbours.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import ipaddress
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from mesh.errors import DialError
from mesh.links.pipe import Address

MAX_REPLY = 16 * 1024
"""Bytes of a proxy's answer to CONNECT; its headers only, as a body is not read."""
MAX_BYPASS = 256
"""Entries of NO_PROXY that count."""
DEFAULT_PORT = 80
_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy. Its text never holds the user name or the password."""

    host: str
    port: int
    credentials: str = field(default="", repr=False)
    """user:password, or "" for none."""

    def __str__(self) -> str:
        return str(Address("http", self.host, self.port))


class ProxyRefused(DialError):
    """The proxy answered, but does not open the way. `status` is HTTP's."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class ProxyUnreachable(DialError):
    """The proxy itself does not answer, or not as an HTTP proxy."""


@dataclass(frozen=True, slots=True)
class ProxyRoutes:
    """Which addresses are dialled through which proxy."""

    secure: Proxy | None = None
    """For wss:// and tcp://."""
    plain: Proxy | None = None
    """For ws://."""
    bypass: tuple[str, ...] = ()
    """NO_PROXY: names (their subdomains too), addresses, networks, each with :PORT if wanted."""

    def proxy_for(self, address: Address) -> Proxy | None:
        """The proxy to go through, or None; this machine itself is never behind one."""
        if _is_own_machine(address.host):
            return None
        if any(_covers(entry, address) for entry in self.bypass):
            return None
        return self.plain if address.scheme == "ws" else self.secure


def parse_proxy(text: str) -> Proxy:
    """http://[user:password@]host[:port]; no scheme means http.

    Raises ValueError, whose text holds neither user nor password.
    """
    allowed = "give http://HOST:PORT, with USER:PASSWORD@ before the host where the proxy asks"
    try:
        url = urlsplit(text if "://" in text else f"http://{text}")
        port = url.port or DEFAULT_PORT
    except ValueError:
        raise ValueError(allowed) from None
    if url.scheme != "http":
        raise ValueError(f"{allowed}; {url.scheme}:// proxies are not supported")
    if not url.hostname or url.path.strip("/") or url.query or not text.isprintable():
        raise ValueError(allowed)
    user = unquote(url.username or "")
    credentials = f"{user}:{unquote(url.password or '')}" if user else ""
    if ":" in user or not credentials.isprintable():
        raise ValueError(f"{allowed}; a user name holds no ':'")
    return Proxy(url.hostname, port, credentials)


def routes_from_environment(environ: Mapping[str, str]) -> ProxyRoutes:
    """HTTPS_PROXY, HTTP_PROXY and NO_PROXY in either case, lower case first (as curl reads them).

    Raises ValueError that names the variable.
    """
    return ProxyRoutes(
        secure=_named(environ, "https_proxy"),
        plain=_named(environ, "http_proxy"),
        bypass=bypass_from_environment(environ),
    )


def bypass_from_environment(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The entries of NO_PROXY."""
    raw = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    entries = (entry.strip().lower() for entry in raw.replace(" ", ",").split(","))
    return tuple(entry for entry in entries if entry)[:MAX_BYPASS]


async def open_tunnel(proxy: Proxy, host: str, port: int) -> socket.socket:
    """A connection to host:port by the proxy, which also resolves the name. Raises DialError."""
    loop = asyncio.get_running_loop()
    connection = await _reach(proxy)
    try:
        await loop.sock_sendall(connection, _request(proxy, host, port))
        reply = await _read_reply(connection)
        if not 200 <= reply.status < 300:
            raise _refusal(proxy, Address("", host, port), reply)
    except OSError as error:
        connection.close()
        reason = _words(error)
        raise ProxyUnreachable(f"the proxy {proxy} broke off ({reason})") from None
    except _NotHttp:
        connection.close()
        raise ProxyUnreachable(f"{proxy} does not answer as an HTTP proxy") from None
    except BaseException:
        connection.close()
        raise
    return connection


async def _reach(proxy: Proxy) -> socket.socket:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(proxy.host, proxy.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise ProxyUnreachable(
            f"the proxy's name {proxy.host} cannot be resolved: check the setting proxy, or "
            "HTTPS_PROXY and HTTP_PROXY"
        ) from None
    reason = "no address"
    for family, kind, protocol, _, place in found:
        connection = socket.socket(family, kind, protocol)
        try:
            connection.setblocking(False)
            await loop.sock_connect(connection, place)
        except OSError as error:
            connection.close()
            reason = _words(error)
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise ProxyUnreachable(f"the proxy {proxy} cannot be reached ({reason})")


def _words(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else type(error).__name__


def _request(proxy: Proxy, host: str, port: int) -> bytes:
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
    if proxy.credentials:
        token = base64.b64encode(proxy.credentials.encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {token}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("idna" if not place.isascii() else "ascii")


class _Reply(NamedTuple):
    status: int
    schemes: str
    """What Proxy-Authenticate offers."""


class _NotHttp(Exception):
    """What came is no answer to CONNECT."""


async def _read_reply(connection: socket.socket) -> _Reply:
    """The answer's head, however it is cut. The other end of a tunnel does not speak first."""
    loop = asyncio.get_running_loop()
    data = b""
    while _END not in data:
        part = await loop.sock_recv(connection, MAX_REPLY)
        data += part
        if not part or len(data) > MAX_REPLY:
            raise _NotHttp
    return _parse_reply(data)


def _parse_reply(data: bytes) -> _Reply:
    head, _, rest = data.partition(_END)
    first, *fields = head.decode("latin-1").split("\r\n")
    version, _, words = first.partition(" ")
    code = words[:3]
    if not version.startswith("HTTP/1.") or not (code.isascii() and code.isdigit()):
        raise _NotHttp
    if code.startswith("2") and rest:
        raise _NotHttp  # bytes that nobody asked for: this is not the way to a node
    offers = [
        value.strip()
        for name, _, value in (line.partition(":") for line in fields)
        if name.strip().lower() == "proxy-authenticate"
    ]
    return _Reply(int(code), ", ".join(offer.split(" ")[0] for offer in offers if offer))


def _refusal(proxy: Proxy, place: Address, reply: _Reply) -> ProxyRefused:
    where = f"{place.host}:{place.port}"
    match reply.status:
        case 407 if reply.schemes and "basic" not in reply.schemes.lower():
            words = f"wants {reply.schemes} authentication, and only Basic is supported here"
        case 407 if proxy.credentials:
            words = "does not accept the user name and password it was given"
        case 407:
            words = "wants a user name and password: http://USER:PASSWORD@HOST:PORT"
        case 403 | 405:
            words = f"does not allow {where}: many proxies allow port 443 only"
        case 502 | 503 | 504:
            words = f"cannot reach {where}"
        case _:
            words = f"did not open {where}"
    standard = http.client.responses.get(reply.status, "")
    return ProxyRefused(reply.status, f"the proxy {proxy} {words} ({reply.status} {standard})")


def _named(environ: Mapping[str, str], name: str) -> Proxy | None:
    for variable in (name, name.upper()):
        if text := environ.get(variable, "").strip():
            try:
                return parse_proxy(text)
            except ValueError as error:
                raise ValueError(f"the variable {variable}: {error}") from None
    return None


def _is_own_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _covers(entry: str, address: Address) -> bool:
    """Whether one entry of NO_PROXY names the address's host."""
    if entry == "*":
        return True
    name, colon, port = entry.rpartition(":")
    if colon and port.isdigit() and (":" not in name or name.endswith("]")):
        if int(port) != address.port:
            return False
        entry = name
    entry = entry.strip("[]")
    host = address.host.lower().rstrip(".")
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        suffix = entry.removeprefix("*").lstrip(".")
        return host == suffix or host.endswith("." + suffix)
