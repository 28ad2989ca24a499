"""What a loss of power takes beyond what `kill -9` takes: all that was written but never synced.

A killed process loses nothing that it wrote, the system still has it. So after the kill the files
of a coordinator are cut back to what its own marker and SQLite's index say was synced. That
believes the program about its fsyncs; that they are made is shown on a disk of our own in the
simulation.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from random import Random

from coordinator.storage.layout import SYNCED, decode_synced, segment_name, segment_numbers

TORN_SHARE = 0.5
"""Of the cut logs, how many keep a part of what was not synced, with a wrong end."""
TORN_BYTES = 64
_CHECKPOINT_BEGUN = 128
"""Where the wal-index has nBackfillAttempted (sqlite.org/walformat.html, section 2.1): not 0 from
the time when a checkpoint has synced the WAL until it begins anew. A test tries it out."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """Bytes that were dropped from one coordinator's files."""

    log: int = 0
    state: int = 0

    def __add__(self, other: Dropped) -> Dropped:
        return Dropped(self.log + other.log, self.state + other.state)


def drop_unsynced(data_dir: Path, rng: Random) -> Dropped:
    """Cut a dead node's files back; what that cost."""
    folder = data_dir / "coordinator"
    if not (folder / "log" / SYNCED).exists():
        return Dropped()
    return Dropped(_cut_log(folder / "log", rng), _cut_state(folder / "state"))


def _cut_log(folder: Path, rng: Random) -> int:
    synced = decode_synced((folder / SYNCED).read_bytes())
    newest = segment_numbers([each.name for each in folder.iterdir()])[-1]
    if synced.number != newest:
        return 0  # a segment that was just begun
    path = folder / segment_name(newest)
    whole = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(synced.length)
        if rng.random() < TORN_SHARE:
            file.seek(synced.length)
            file.write(rng.randbytes(rng.randint(1, TORN_BYTES)))
    return max(0, whole - synced.length)


def _cut_state(folder: Path) -> int:
    """Empty every write-ahead log that no checkpoint has synced."""
    dropped = 0
    for wal in folder.glob("state-*.db-wal"):
        index = wal.with_name(wal.name.removesuffix("wal") + "shm")
        if not index.exists():
            continue
        (begun,) = struct.unpack_from("=I", index.read_bytes(), _CHECKPOINT_BEGUN)
        if begun == 0:
            dropped += wal.stat().st_size
            wal.write_bytes(b"")
    return dropped
