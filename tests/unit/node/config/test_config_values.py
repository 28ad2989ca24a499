"""Each kind of value: what is taken, what is refused and in which words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.config_addresses import Address, parse_address, parse_engine, parse_origin, parse_url
from node.config_values import (
    MAX_ITEMS,
    BadValue,
    digest_key,
    parse_aliases,
    parse_bool,
    parse_float,
    parse_int,
    parse_key,
    parse_list,
    parse_name,
    parse_path,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:7717", Address("127.0.0.1", 7717)),
        ("[::1]:0", Address("::1", 0)),
        ("node-1.example.org:65535", Address("node-1.example.org", 65535)),
        (" localhost:80 ", Address("localhost", 80)),
    ],
)
def test_addresses_are_read_and_written_alike(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "text",
    ["", ":80", "host", "host:", "host:65536", "host:-1", "::1:80", "[::1]", "[x]:1", "a b:1",
     "host:8O", "http://host:80", "host:٣", 7717, None, True],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: object) -> None:
    with pytest.raises(BadValue, match="HOST:PORT"):
        parse_address(text)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.0.2", False),
        ("localhost.example.org", False),
    ],
)
def test_only_this_machines_own_addresses_are_loopback(host: str, loopback: bool) -> None:
    assert Address(host, 1).is_loopback is loopback


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4GiB", 4 * 2**30),
        ("4GB", 4 * 10**9),
        ("1.5 GiB", 3 * 2**29),
        ("16777216", 2**24),
        (2**30, 2**30),
        ("64MiB", 2**26),
        ("65536kB", 65_536_000),
        ("1TiB", 2**40),
    ],
)
def test_sizes_know_both_kinds_of_suffix(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "4", "15MiB", "-1GiB", "4XB", "GiB", "1e9", True, 4.5, None])
def test_odd_sizes_are_refused(text: object) -> None:
    with pytest.raises(BadValue, match="4GiB"):
        parse_size(text)


@given(st.integers(16 * 2**20, 2**50))
def test_a_plain_number_of_bytes_is_itself(size: int) -> None:
    assert parse_size(str(size)) == size


def test_numbers_stay_within_their_limits() -> None:
    assert parse_int(1, 8)("8") == 8
    assert parse_float(0.1, 5)("2.5") == 2.5
    for raw in ("0", "9", "1.5", "", "x", True, None, 2.0, "1" * 30):
        with pytest.raises(BadValue, match="whole number from 1 to 8"):
            parse_int(1, 8)(raw)
    odd: tuple[object, ...] = ("0", "inf", "nan", "x", True, None, [])
    for bad in odd:
        with pytest.raises(BadValue, match=r"number from 0\.1 to 5"):
            parse_float(0.1, 5)(bad)


def test_truth_is_read_from_words() -> None:
    assert [parse_bool(raw) for raw in (True, "yes", "ON", "1")] == [True] * 4
    assert [parse_bool(raw) for raw in (False, "no", "Off", "0")] == [False] * 4
    with pytest.raises(BadValue, match="true or false"):
        parse_bool("maybe")


def test_lists_come_as_arrays_or_with_commas() -> None:
    parse = parse_list(parse_name)
    assert parse("a, b,,a") == parse(["a", "b"]) == ("a", "b")
    with pytest.raises(BadValue, match="a list"):
        parse(7)
    with pytest.raises(BadValue, match="at most"):
        parse([f"n{i}" for i in range(MAX_ITEMS + 1)])


def test_the_wrong_entry_of_a_list_is_named() -> None:
    with pytest.raises(BadValue) as caught:
        parse_list(parse_name)("good,b@d")
    assert caught.value.value == "b@d"


def test_aliases_come_as_a_table_or_as_pairs() -> None:
    assert parse_aliases(["gpt=a/b:8b"]) == parse_aliases({"gpt": "a/b:8b"}) == {"gpt": "a/b:8b"}
    assert parse_aliases("x=y,z=w") == {"x": "y", "z": "w"}
    for raw in ("x", "=y", "x=", {"x": 1}, {"x": "a\x1bb"}, 5):
        with pytest.raises(BadValue):
            parse_aliases(raw)


def test_a_key_is_kept_as_its_digest_and_never_shown() -> None:
    digest = digest_key("secret")
    assert parse_key(digest) == digest
    with pytest.raises(BadValue) as caught:
        parse_key("secret")
    assert "secret" not in f"{caught.value} {caught.value.value}"


@pytest.mark.parametrize("word", ["demo", "none", "auto", "llama", "http://127.0.0.1:11434"])
def test_engines_are_words_or_urls(word: str) -> None:
    assert parse_engine(word) == word


@pytest.mark.parametrize("word", ["demos", "127.0.0.1:8000", "ftp://x", "http://", "http://u:p@h"])
def test_other_engines_are_refused(word: str) -> None:
    with pytest.raises(BadValue, match="demo, none, auto, llama or a URL"):
        parse_engine(word)


def test_a_url_with_a_password_is_refused_without_showing_it() -> None:
    with pytest.raises(BadValue) as caught:
        parse_url("http://ann:hunter2@host")
    assert "hunter2" not in f"{caught.value} {caught.value.value}"


@pytest.mark.parametrize("bad", ["http://h:99999", "http://[::1", "http://h:0", "http://a b", 5])
def test_broken_urls_are_refused(bad: object) -> None:
    with pytest.raises(BadValue, match="give a URL"):
        parse_url(bad)


def test_origins_have_no_path() -> None:
    assert parse_origin("https://App.Example.org") == "https://app.example.org"
    assert parse_origin("*") == "*"
    for bad in ("https://a.org/x", "a.org", "null"):
        with pytest.raises(BadValue, match="origin"):
            parse_origin(bad)


def test_paths_are_absolute_and_know_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/srv/ann")
    assert parse_path("~/x") == Path("/srv/ann/x")
    assert parse_path("x").is_absolute()
    for bad in ("", "a\0b", 5):
        with pytest.raises(BadValue, match="a path"):
            parse_path(bad)


PARSERS: list[Callable[[object], object]] = [
    parse_address, parse_size, parse_bool, parse_int(0, 9), parse_float(0, 9), parse_key,
    parse_engine, parse_origin, parse_url, parse_name, parse_aliases, parse_list(parse_address),
]  # fmt: skip
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.sampled_from(PARSERS), ANYTHING)
def test_no_parser_raises_anything_but_bad_value(
    parse: Callable[[object], object], raw: object
) -> None:
    try:
        parse(raw)
    except BadValue as error:
        assert error.allowed
