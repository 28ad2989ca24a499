"""Peers met before, in a small file, so that a node finds its mesh again without any help."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from dht.join_address import JoinAddress, parse_join_address
from mesh.capability import Peer
from mesh.errors import ConfigError

log = logging.getLogger(__name__)

MAX_PEERS = 64
MAX_ADDRESSES_EACH = 4
MAX_FILE = 64 * 1024
"""Bounds of the file; a larger one was not written here and is not read."""


class RememberedPeers:
    """Reads and replaces the file. Trouble with it is logged and harmless."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written: list[list[str]] | None = None

    def load(self) -> Sequence[JoinAddress]:
        """Where peers were; empty when there is no usable file."""
        try:
            if self._path.stat().st_size > MAX_FILE:
                raise ValueError("the file is too large")
            rows = json.loads(self._path.read_bytes())["peers"]
            found = [parse_join_address(text) for row in rows[:MAX_PEERS] for text in row]
        except FileNotFoundError:
            return ()
        except (OSError, ValueError, TypeError, KeyError, AttributeError, ConfigError) as error:
            log.warning("remembered peers in %s cannot be used: %s", self._path, error)
            return ()
        return found

    def save(self, peers: Iterable[Peer]) -> None:
        """Remember dialable peers, linked ones first. Keeps what is there when none is known."""
        dialable = [peer for peer in peers if peer.record.addresses]
        dialable.sort(key=lambda peer: (not peer.linked, peer.record.node_id))
        rows = [_row(peer) for peer in dialable[:MAX_PEERS]]
        if not rows or rows == self._written:
            return
        try:
            self._replace(json.dumps({"peers": rows}, indent=1).encode())
        except OSError as error:
            log.warning("peers cannot be remembered in %s: %s", self._path, error)
            return
        self._written = rows

    def _replace(self, data: bytes) -> None:
        fresh = self._path.with_name(f"{self._path.name}.new")
        fresh.write_bytes(data)
        fresh.replace(self._path)


def _row(peer: Peer) -> list[str]:
    texts = []
    for url in peer.record.addresses[:MAX_ADDRESSES_EACH]:
        scheme, mark, rest = url.partition("://")
        if mark and scheme != "relay":
            texts.append(f"{scheme}://{peer.record.node_id}@{rest}")
    return texts
