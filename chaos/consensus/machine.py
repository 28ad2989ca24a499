"""The smallest state machine worth agreeing on: registers that are written."""

from __future__ import annotations

from typing import Any

import msgpack

from coordinator.consensus.entry import Entry


class Registers:
    """Applies commands in order. `applied` is the index of the last entry, commands or not."""

    def __init__(self, packed: bytes = b"") -> None:
        self.applied = 0
        self.values: dict[str, int] = {}
        if packed:
            self.applied, self.values = msgpack.unpackb(packed)

    def apply(self, entry: Entry) -> None:
        """Raises AssertionError for an entry out of order."""
        assert entry.index == self.applied + 1, f"applied {entry.index} after {self.applied}"
        self.applied = entry.index
        if entry.kind == "command":
            key, value = msgpack.unpackb(entry.data)
            self.values[key] = value

    def pack(self) -> bytes:
        """A snapshot."""
        packed: bytes = msgpack.packb([self.applied, self.values])
        return packed


def pack_write(key: str, value: int) -> bytes:
    """The command that writes a register."""
    packed: Any = msgpack.packb([key, value])
    return bytes(packed)
