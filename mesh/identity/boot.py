"""Which start of a node this is: a counter that only rises, and a random id."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from mesh.errors import StorageError
from mesh.identity.private_file import read_private, write_private

MAX_BOOTS = 2**48
_WHAT = "the boot counter"


@dataclass(frozen=True, slots=True)
class Boot:
    """Of two nodes with one key the higher counter wins; equal counters are a cloned volume."""

    counter: int
    boot_id: str
    """16 random hex digits drawn at this start; tells clones apart."""


def next_boot(path: Path) -> Boot:
    """Raise the counter kept in the file, durably. Raises StorageError."""
    counter = _read(path) + 1
    write_private(path, f"{counter}\n".encode(), _WHAT)
    return Boot(counter, secrets.token_hex(8))


def _read(path: Path) -> int:
    data = read_private(path, _WHAT)
    if data is None:
        return 0
    text = data.strip()
    if not text.isdigit() or len(text) > 15 or not 0 <= int(text) < MAX_BOOTS:
        raise StorageError(
            f"{_WHAT} {path} does not hold a number: write one into it that is higher than any "
            "the node has had, or delete it if no other node remembers this one"
        )
    return int(text)
