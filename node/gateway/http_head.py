"""Reads the head of a plain HTTP/1.1 request; anything unusual is left to the full server.

Plain means: version 1.1, origin-form target, a body (if any) framed by Content-Length, no upgrade,
no Expect, no repeated header that decides about framing or trust. Parsed by llhttp (`httptools`)
in its strict mode, so what is ambiguous between parsers never gets here.
"""

from __future__ import annotations

from dataclasses import dataclass

import httptools

from node.gateway.admission import came_by_proxy
from node.gateway.exchange import Head, split_target
from node.gateway.limits import MAX_HEADERS

_UNUSUAL = ("transfer-encoding", "upgrade", "expect", "te", "trailer")
_SINGLE = frozenset({"host", "content-length", "authorization", "x-api-key", "origin"})


@dataclass(frozen=True, slots=True)
class PlainHead:
    """A parsed head with what the connection needs to know."""

    head: Head
    length: int
    """Bytes of body that follow."""
    keep_alive: bool


class _Fields:
    """Collects what the parser reports."""

    __slots__ = ("complete", "headers", "repeated", "target")

    def __init__(self) -> None:
        self.target = b""
        self.headers: dict[str, str] = {}
        self.repeated = False
        self.complete = False

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        if key in self.headers:
            self.repeated = self.repeated or key in _SINGLE
            text = f"{self.headers[key]}, {text}"
        self.headers[key] = text

    def on_headers_complete(self) -> None:
        self.complete = True


def read_head(raw: bytes, *, loopback: bool, door: str = "") -> PlainHead | None:
    """Parse a head that ends in an empty line; None when the request is not a plain one.

    `loopback`: the connection comes from a loopback address. `door`: see Head.
    """
    fields = _Fields()
    parser = httptools.HttpRequestParser(fields)
    try:
        parser.feed_data(raw)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    headers = fields.headers
    if not _is_plain(fields) or parser.get_http_version() != "1.1":
        return None
    path, query = split_target(fields.target.decode("latin-1"))
    local = loopback and not door and not came_by_proxy(headers)
    head = Head(parser.get_method().decode("latin-1"), path, query, headers, local, door)
    length = int(headers.get("content-length", "0"))
    options = headers.get("connection", "").lower().split(",")
    return PlainHead(head, length, "close" not in map(str.strip, options))


def _is_plain(fields: _Fields) -> bool:
    if not fields.complete or fields.repeated or not fields.target.startswith(b"/"):
        return False
    headers = fields.headers
    if "host" not in headers or len(headers) > MAX_HEADERS:
        return False
    return not any(name in headers for name in _UNUSUAL)
