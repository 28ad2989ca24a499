"""HTTP/1.1 response bytes. Source: RFC 9112, sections 4 to 7."""

from __future__ import annotations

import time
from email.utils import formatdate
from http import HTTPStatus

from node.gateway.exchange import Answer, Headers

LAST_CHUNK = b"0\r\n\r\n"
SERVER = "electrons"
"""The Server header: no version, which would only help somebody who looks for old ones."""
_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus
}
_BODILESS = frozenset({204, 304})


class DateHeader:
    """The Date header's value, rendered once a second (RFC 9110 6.6.1)."""

    def __init__(self) -> None:
        self._second = 0
        self._text = ""

    def text(self) -> str:
        """The current date."""
        second = int(time.time())
        if second != self._second:
            self._second, self._text = second, formatdate(second, usegmt=True)
        return self._text


_date = DateHeader()


def response_head(status: int, content_type: str, headers: Headers, framing: str) -> bytes:
    """Status line and headers; `framing` is the header lines that say how the body is framed."""
    lines = [_STATUS_LINES[status]]
    if content_type:
        lines.append(f"content-type: {content_type}\r\n")
    lines += [f"{name}: {value}\r\n" for name, value in headers]
    lines.append(f"{framing}date: {_date.text()}\r\nserver: {SERVER}\r\n\r\n")
    return "".join(lines).encode("latin-1", "replace")


def whole_response(answer: Answer, common: Headers, *, head_only: bool, close: bool) -> bytes:
    """A complete response; `head_only` answers HEAD."""
    bare = answer.status in _BODILESS
    framing = "" if bare else f"content-length: {len(answer.body)}\r\n"
    if close:
        framing += "connection: close\r\n"
    content_type = answer.content_type if answer.body else ""
    headers = [*answer.headers, *common]
    head = response_head(answer.status, content_type, headers, framing)
    return head if head_only or bare else head + answer.body


def chunked_head(status: int, content_type: str, headers: Headers, *, close: bool) -> bytes:
    """The head of a response whose length is not known yet."""
    framing = "transfer-encoding: chunked\r\n" + ("connection: close\r\n" if close else "")
    return response_head(status, content_type, headers, framing)


def http_chunk(data: bytes) -> bytes:
    """One chunk of a chunked body (RFC 9112 7.1). Empty data would end the body: never pass it."""
    return b"%x\r\n%b\r\n" % (len(data), data)
