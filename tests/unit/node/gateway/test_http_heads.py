"""Which requests the lean front end takes: plain ones. All others belong to the full server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.gateway.exchange import split_target
from node.gateway.http_head import read_head


def head(*lines: str) -> bytes:
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def test_a_plain_head_is_read() -> None:
    plain = read_head(
        head("POST /a%20b?q=1 HTTP/1.1", "Host: x", "X-A: 1", "x-a: 2", "Content-Length: 12"),
        loopback=True,
    )
    assert plain is not None
    assert (plain.head.method, plain.head.path, plain.head.query) == ("POST", "/a b", "q=1")
    assert plain.head.headers["x-a"] == "1, 2"
    assert (plain.length, plain.keep_alive, plain.head.local) == (12, True, True)


def test_close_is_understood() -> None:
    plain = read_head(head("GET / HTTP/1.1", "Host: x", "Connection: close"), loopback=True)
    assert plain is not None
    assert not plain.keep_alive


def test_a_proxy_takes_locality_away() -> None:
    for name in ("X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"):
        plain = read_head(head("GET / HTTP/1.1", "Host: x", f"{name}: y"), loopback=True)
        assert plain is not None
        assert not plain.head.local


@pytest.mark.parametrize(
    "raw",
    [
        head("GET / HTTP/1.0", "Host: x"),
        head("GET / HTTP/1.1"),
        head("GET http://x/ HTTP/1.1", "Host: x"),
        head("OPTIONS * HTTP/1.1", "Host: x"),
        head("CONNECT x:443 HTTP/1.1", "Host: x"),
        head("POST / HTTP/1.1", "Host: x", "Transfer-Encoding: chunked"),
        head("POST / HTTP/1.1", "Host: x", "Expect: 100-continue", "Content-Length: 1"),
        head("GET / HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: upgrade"),
        head("POST / HTTP/1.1", "Host: x", "Content-Length: 1", "Content-Length: 1"),
        head("POST / HTTP/1.1", "Host: x", "Content-Length: +1"),
        head("POST / HTTP/1.1", "Host: x", "Content-Length: 99999999999999999999"),
        head("GET / HTTP/1.1", "Host: x", "Host: y"),
        head("GET / HTTP/1.1", "Host: x", "Authorization: a", "Authorization: b"),
        head("GET / HTTP/1.1", "Host: x", " folded: y"),
        head("GET / HTTP/1.1", "Host: x", "Bad\x00: y"),
        head("GET / HTTP/1.1", *(f"x-{number}: y" for number in range(200)), "Host: x"),
        b"\r\n\r\n",
        b"\x16\x03\x01\r\n\r\n",
    ],
)
def test_what_is_unusual_is_left_to_the_full_server(raw: bytes) -> None:
    assert read_head(raw, loopback=True) is None


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(raw: bytes) -> None:
    read_head(raw + b"\r\n\r\n", loopback=True)


@given(st.text(max_size=60))
def test_no_target_breaks_the_splitting(target: str) -> None:
    path, query = split_target(target)
    assert isinstance(path, str)
    assert isinstance(query, str)


def test_targets_are_split() -> None:
    assert split_target("/a/b%2Fc?x=%20") == ("/a/b/c", "x=%20")
    assert split_target("http://host:1/a?b") == ("/a", "b")
    assert split_target("http://host") == ("/", "")
