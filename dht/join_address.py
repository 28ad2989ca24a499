"""Addresses as people write them: `[ID@]HOST:PORT`, or a URL with the id before or in it."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.errors import ConfigError
from mesh.ids import NodeId, parse_node_id
from mesh.links.pipe import parse_address

ALLOWED = (
    "write [ID@]HOST:PORT, for instance mesh.example.org:7400 or [2001:db8::1]:7400, "
    "or a URL that starts with tcp://, ws:// or wss://"
)


@dataclass(frozen=True, slots=True)
class JoinAddress:
    """Where to find a node, and who it must be when that was said."""

    url: str
    node: NodeId | None = None


def parse_join_address(text: str, *, setting: str = "join") -> JoinAddress:
    """Raises ConfigError that names the setting, the value and what is allowed."""
    text_of_id, at, url = text.strip().partition("@")
    if "://" in text_of_id or "://" not in url:  # the id is in the URL, or there is no scheme
        scheme, _, rest = text.strip().rpartition("://")
        text_of_id, at, place = rest.rpartition("@")
    else:
        scheme, _, place = url.partition("://")
    try:
        node = parse_node_id(text_of_id) if at else None
        url = str(parse_address(f"{scheme or 'tcp'}://{place}"))
    except ValueError as error:
        raise ConfigError(setting, text, f"{error}; {ALLOWED}") from None
    return JoinAddress(url, node)
