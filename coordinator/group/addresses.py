"""Where the other members were last: a group whose every process died finds itself again.

Records of nodes live in memory only; who is killed with all others knows nobody afterwards.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from mesh.consensus import MAX_STANDBYS, MAX_VOTERS
from mesh.errors import StorageError, WireError
from mesh.identity.private_file import read_private, write_private
from mesh.ids import NodeId
from mesh.wire import fields

log = logging.getLogger(__name__)

ADDRESSES_FILE = "addresses"
WHAT = "the members' addresses"
MAX_FILE = 64 * 1024
MAX_KEPT = 4
"""Addresses kept of one member."""


class MemberAddresses:
    """Asks who knows now, and else what was known last. Trouble with the file is harmless."""

    def __init__(self, folder: Path, known: Callable[[NodeId], tuple[str, ...]]) -> None:
        self._path = folder / ADDRESSES_FILE
        self._known = known
        self._kept: dict[NodeId, tuple[str, ...]] | None = None

    def find(self, node: NodeId) -> tuple[str, ...]:
        """Where to dial a member; empty when nobody ever knew."""
        return self._known(node) or self._remembered().get(node, ())

    def remember(self, members: Iterable[NodeId]) -> None:
        """Keep where these are, and forget the others; writes only what is new."""
        before = self._remembered()
        kept = {
            node: found
            for node in members
            if (found := self._known(node)[:MAX_KEPT] or before.get(node, ()))
        }
        if kept == before:
            return
        self._kept = kept
        rows = [[bytes.fromhex(node), list(found)] for node, found in sorted(kept.items())]
        try:
            write_private(self._path, fields.pack(rows), WHAT)
        except StorageError as error:
            log.warning("%s", error)

    def _remembered(self) -> dict[NodeId, tuple[str, ...]]:
        if self._kept is None:
            try:
                self._kept = _decode(read_private(self._path, WHAT))
            except (StorageError, WireError) as error:
                log.warning("%s in %s cannot be used: %s", WHAT, self._path, error)
                self._kept = {}
        return self._kept


def _decode(data: bytes | None) -> dict[NodeId, tuple[str, ...]]:
    if data is None:
        return {}
    kept: dict[NodeId, tuple[str, ...]] = {}
    for row in fields.unpack(data, most=MAX_FILE)[: MAX_VOTERS + MAX_STANDBYS]:
        pair = fields.listed(row, most=2)
        if len(pair) < 2:
            raise WireError("a row is too short")
        kept[fields.node_id(pair[0])] = fields.addresses(pair[1])
    return kept
