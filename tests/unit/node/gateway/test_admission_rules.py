"""Host names, origins, tokens, request ids: the pure rules of the door."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import ConfigError
from node.gateway.accounts import LocalAccounts, digest_key
from node.gateway.admission import (
    cors_headers,
    host_allowed,
    host_name,
    is_loopback,
    origin_allowed,
    request_id_of,
    token_of,
)
from node.gateway.limits import MAX_KEYS, MAX_REQUEST_ID


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("localhost", "localhost"),
        ("LocalHost:80", "localhost"),
        ("localhost.", "localhost"),
        ("[::1]:80", "::1"),
        ("127.0.0.1:1", "127.0.0.1"),
    ],
)
def test_host_names(host: str, name: str) -> None:
    assert host_name(host) == name
    assert host_allowed(host, ())


@pytest.mark.parametrize(
    "host",
    ["", ":80", "evil.test", "127.0.0.1.evil.test", "10.0.0.1", "[::2]", "0.0.0.0", "::1:80", "["],
)
def test_foreign_hosts(host: str) -> None:
    assert not host_allowed(host, ())


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.255.0.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::1%lo", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.0.1", False),
        ("::ffff:192.0.2.1", False),
        ("", False),
    ],
)
def test_loopback(address: str, loopback: bool) -> None:
    assert is_loopback(address) is loopback


def test_origins() -> None:
    assert origin_allowed({"host": "localhost:1"}, ())
    assert origin_allowed({"host": "localhost:1", "origin": "http://localhost:1"}, ())
    assert not origin_allowed({"host": "localhost:1", "origin": "http://localhost:2"}, ())
    assert not origin_allowed({"host": "localhost:1", "origin": "null"}, ())
    assert not origin_allowed({"origin": "null"}, ())
    assert not origin_allowed({"host": "x", "origin": "http://[broken"}, ())
    assert origin_allowed({"host": "x", "origin": "https://ui.test"}, ("https://ui.test",))
    assert origin_allowed({"host": "x", "origin": "https://ui.test"}, ("*",))
    assert cors_headers({"origin": "https://other.test"}, ("https://ui.test",)) == []


def test_tokens() -> None:
    assert token_of({}) is None
    assert token_of({"authorization": "Bearer  abc "}) == "abc"
    assert token_of({"authorization": "bearer abc", "x-api-key": "other"}) == "abc"
    assert token_of({"authorization": "Basic abc"}) is None
    assert token_of({"authorization": "Bearer ", "x-api-key": "other"}) == "other"


@given(st.text())
def test_request_ids_are_short_and_harmless(given_id: str) -> None:
    made = request_id_of({"x-request-id": given_id}, "fallback")
    assert 0 < len(made) <= MAX_REQUEST_ID
    assert set(made) <= set(string.ascii_letters + string.digits + "._:/+=@-")


def test_local_mode_lets_in_this_machine_whatever_key_it_sends() -> None:
    accounts = LocalAccounts(admin_token="owner")
    for token in (None, "any"):
        principal = accounts.authenticate(token, local=True)
        assert principal is not None
        assert not principal.admin
        assert accounts.authenticate(token, local=False) is None
    owner = accounts.authenticate("owner", local=False)
    assert owner is not None
    assert owner.admin


def test_keys_mode_asks_even_this_machine() -> None:
    accounts = LocalAccounts(access="keys", key_digests=[digest_key("good").upper()])
    assert accounts.authenticate(None, local=True) is None
    assert accounts.authenticate("bad", local=True) is None
    assert accounts.authenticate(digest_key("good"), local=True) is None
    assert accounts.authenticate("good" * 5000, local=True) is None
    assert accounts.authenticate("\ud800", local=True) is None
    good = accounts.authenticate("good", local=False)
    assert good is not None
    assert good.tenant == f"key-{digest_key('good')[:16]}"


def test_too_many_keys_are_a_wrong_setting() -> None:
    with pytest.raises(ConfigError, match="api_keys"):
        LocalAccounts(access="keys", key_digests=["00"] * (MAX_KEYS + 1))
