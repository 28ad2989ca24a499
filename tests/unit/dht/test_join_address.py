"""Addresses as people write them."""

from __future__ import annotations

import pytest

from dht.join_address import JoinAddress, parse_join_address
from mesh.errors import ConfigError
from mesh.ids import NodeId

ID = NodeId("0123456789abcdef0123456789abcdef01234567")


@pytest.mark.parametrize(
    ("text", "url", "node"),
    [
        ("192.0.2.7:7400", "tcp://192.0.2.7:7400", None),
        (f"{ID}@192.0.2.7:7400", "tcp://192.0.2.7:7400", ID),
        ("mesh.example.org:7400", "tcp://mesh.example.org:7400", None),
        (f"{ID}@[2001:db8::1]:7400", "tcp://[2001:db8::1]:7400", ID),
        ("tcp://192.0.2.7:7400", "tcp://192.0.2.7:7400", None),
        (f"tcp://{ID}@192.0.2.7:7400", "tcp://192.0.2.7:7400", ID),
        ("wss://node.example.org", "wss://node.example.org:443/mesh", None),
        (f"wss://{ID}@node.example.org/deep/mesh", "wss://node.example.org:443/deep/mesh", ID),
        (f"{ID}@wss://node.example.org", "wss://node.example.org:443/mesh", ID),
        (" 192.0.2.7:7400 ", "tcp://192.0.2.7:7400", None),
    ],
)
def test_what_people_write_is_understood(text: str, url: str, node: NodeId | None) -> None:
    assert parse_join_address(text) == JoinAddress(url, node)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "192.0.2.7",
        "192.0.2.7:",
        "192.0.2.7:99999",
        ":7400",
        "http://192.0.2.7:7400",
        "short@192.0.2.7:7400",
        f"{ID.upper()}@192.0.2.7:7400",
        "two words:7400",
        "x" * 300 + ":7400",
    ],
)
def test_what_cannot_be_understood_is_named_with_a_cure(text: str) -> None:
    with pytest.raises(ConfigError, match="HOST:PORT") as caught:
        parse_join_address(text, setting="--join")
    assert caught.value.setting == "--join"
    assert caught.value.value == text
