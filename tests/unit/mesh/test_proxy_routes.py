"""Which proxy an address goes through, read from a setting or the environment."""

from __future__ import annotations

import logging

import pytest

from mesh.links.pipe import parse_address
from mesh.links.proxy import Proxy, ProxyRoutes, parse_proxy, routes_from_environment
from node.proxies import choose_proxies

CORP = Proxy("proxy.corp", 3128)


@pytest.mark.parametrize(
    ("text", "host", "port", "credentials"),
    [
        ("http://proxy.corp:3128", "proxy.corp", 3128, ""),
        ("proxy.corp:3128", "proxy.corp", 3128, ""),
        ("http://proxy.corp/", "proxy.corp", 80, ""),
        ("http://ann:p%40ss@[2001:db8::1]:8080", "2001:db8::1", 8080, "ann:p@ss"),
        ("http://ann@proxy.corp:1", "proxy.corp", 1, "ann:"),
    ],
)
def test_proxies_as_people_write_them(text: str, host: str, port: int, credentials: str) -> None:
    assert parse_proxy(text) == Proxy(host, port, credentials)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://",
        "https://ann:s3cret@proxy.corp:443",
        "socks5://ann:s3cret@proxy.corp:1080",
        "http://ann:s3cret@proxy.corp:99999",
        "http://ann:s3cret@proxy.corp:3128/path",
        "http://ann:s3cret@",
        "http://a%3Ab:s3cret@proxy.corp",
        "http://ann:s3cret%0d%0aX: y@proxy.corp",
    ],
)
def test_what_is_no_proxy_is_refused_without_telling_the_password(text: str) -> None:
    with pytest.raises(ValueError, match="give http://HOST:PORT") as wrong:
        parse_proxy(text)
    assert "s3cret" not in str(wrong.value)


def test_no_text_of_a_proxy_tells_its_password() -> None:
    proxy = parse_proxy("http://ann:s3cret@proxy.corp:3128")
    for text in (str(proxy), repr(proxy), repr(ProxyRoutes(proxy, proxy))):
        assert "s3cret" not in text
        assert "ann" not in text


@pytest.mark.parametrize(
    ("url", "through"),
    [
        ("wss://node.example/mesh", "http://secure:1"),
        ("tcp://node.example:7718", "http://secure:1"),
        ("ws://node.example/mesh", "http://plain:2"),
        ("tcp://127.0.0.1:7718", None),
        ("ws://localhost:7717/mesh", None),
        ("tcp://[::1]:7718", None),
        ("wss://example.org/mesh", None),
        ("wss://a.example.org/mesh", None),
        ("wss://badexample.org/mesh", "http://secure:1"),
        ("tcp://10.1.2.3:7718", None),
        ("tcp://11.1.2.3:7718", "http://secure:1"),
        ("tcp://[2001:db8::7]:7718", None),
        ("tcp://host.one:7718", None),
        ("tcp://host.one:7719", "http://secure:1"),
    ],
)
def test_no_proxy_is_honoured(url: str, through: str | None) -> None:
    environ = {
        "HTTPS_PROXY": "http://secure:1",
        "http_proxy": "plain:2",
        "HTTP_PROXY": "http://ignored:3",
        "NO_PROXY": ".example.org, 10.0.0.0/8 2001:db8::/32,host.one:7718",
    }
    found = routes_from_environment(environ).proxy_for(parse_address(url))
    assert (None if found is None else str(found)) == through


def test_a_star_switches_proxies_off() -> None:
    routes = ProxyRoutes(CORP, CORP, ("*",))
    assert routes.proxy_for(parse_address("wss://node.example/mesh")) is None


def test_the_setting_decides_over_the_environment(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    environ = {"https_proxy": "http://env:1", "no_proxy": "a.example"}
    assert choose_proxies("none", environ) == ProxyRoutes()
    assert choose_proxies(CORP, environ) == ProxyRoutes(CORP, CORP, ("a.example",))
    assert choose_proxies("environment", environ).secure == Proxy("env", 1)
    assert choose_proxies("environment", {}) == ProxyRoutes()
    assert not caplog.text
    broken = {"HTTPS_PROXY": "socks5://ann:s3cret@proxy:1"}
    assert choose_proxies("environment", broken) == ProxyRoutes()
    assert "the variable HTTPS_PROXY" in caplog.text
    assert "s3cret" not in caplog.text
