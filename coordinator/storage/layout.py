"""The small files and heads around the records: manifest, segment heads, synced marker. Pure.

- `manifest` names the segments there must be. Replaced in one step, always synced.
- `log-NNN` segments: a head, then records. Each head names the length and last checksum of the
  segment before it.
- `synced` says up to where the last segment was synced. Written after each fsync, itself unsynced,
  so it may be behind but is never ahead: damage before it is damage, a bad end after it was torn
  off by a loss of power and had not been acknowledged.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass

from mesh.errors import StorageDamaged, StorageError

FORMAT = 1
"""Of the folder. Another one is refused with a sentence, or migrated by `load`."""
MANIFEST = "manifest"
SYNCED = "synced"
FOLDER_ID_BYTES = 16
SLOT_SPACING = 4096
"""Bytes between the marker's two slots: no disk tears both with one write."""

_NAME = re.compile(r"log-([0-9]{12})")
_MANIFEST = struct.Struct(">4sHI16sQQ")
_HEAD = struct.Struct(">4sHI16sQQI")
_SLOT = struct.Struct(">QQI")
_CHECKSUM = slice(6, 10)
"""Magic, format and checksum lie at the same place in every format, so that an older program
knows a newer folder from a damaged one."""
HEAD_BYTES = _HEAD.size


@dataclass(frozen=True, slots=True)
class Manifest:
    """Segments from `oldest` to `newest` make the log of the folder with this random id."""

    folder: bytes
    oldest: int
    newest: int


@dataclass(frozen=True, slots=True)
class SegmentHead:
    """A segment's place in the folder, and what the one before it ended with."""

    folder: bytes
    number: int
    previous_length: int
    previous_checksum: int


@dataclass(frozen=True, slots=True)
class Synced:
    """Segment `number` was synced up to `length`."""

    number: int
    length: int


def segment_name(number: int) -> str:
    """The file name of a segment."""
    return f"log-{number:012d}"


def segment_numbers(names: list[str]) -> list[int]:
    """The segments among file names, in order."""
    return sorted(int(match[1]) for name in names if (match := _NAME.fullmatch(name)))


def encode_manifest(manifest: Manifest) -> bytes:
    """A whole file."""
    parts = (manifest.folder, manifest.oldest, manifest.newest)
    return _sealed(_MANIFEST.pack(b"DELM", FORMAT, 0, *parts))


def decode_manifest(data: bytes, path: str) -> Manifest:
    """Raises StorageDamaged, or StorageError for another format."""
    _check(data, b"DELM", path)
    if len(data) != _MANIFEST.size:
        raise StorageDamaged(path, "its length is wrong")
    _, _, _, folder, oldest, newest = _MANIFEST.unpack(data)
    return Manifest(folder, oldest, newest)


def encode_head(head: SegmentHead) -> bytes:
    """The first HEAD_BYTES of a segment."""
    parts = (head.folder, head.number, head.previous_length, head.previous_checksum)
    return _sealed(_HEAD.pack(b"DELS", FORMAT, 0, *parts))


def decode_head(data: bytes, path: str) -> SegmentHead:
    """Raises StorageDamaged, or StorageError for another format."""
    data = data[:HEAD_BYTES]
    _check(data, b"DELS", path)
    _, _, _, folder, number, length, checksum = _HEAD.unpack(data)
    return SegmentHead(folder, number, length, checksum)


def encode_slot(synced: Synced) -> bytes:
    """One slot of the marker."""
    body = _SLOT.pack(synced.number, synced.length, 0)[:-4]
    return body + zlib.crc32(body).to_bytes(4, "big")


def decode_synced(data: bytes) -> Synced:
    """The later of the slots that can be read; zero where neither can."""
    slots = [data[start : start + _SLOT.size] for start in (0, SLOT_SPACING)]
    found = [_SLOT.unpack(slot) for slot in slots if len(slot) == _SLOT.size]
    good = [
        (number, length)
        for (number, length, checksum), slot in zip(found, slots, strict=False)
        if zlib.crc32(slot[:-4]) == checksum
    ]
    return Synced(*max(good, default=(0, 0)))


def _sealed(data: bytes) -> bytes:
    checksum = zlib.crc32(data).to_bytes(4, "big")
    return data[: _CHECKSUM.start] + checksum + data[_CHECKSUM.stop :]


def _check(data: bytes, magic: bytes, path: str) -> None:
    blank = data[: _CHECKSUM.start] + bytes(4) + data[_CHECKSUM.stop :]
    if data[:4] != magic or zlib.crc32(blank).to_bytes(4, "big") != data[_CHECKSUM]:
        raise StorageDamaged(path, "its head is wrong")
    version = int.from_bytes(data[4:6], "big")
    if version != FORMAT:
        age = "a newer" if version > FORMAT else "an older"
        raise StorageError(
            f"{path} was written by {age} version of this program (format {version}, this one "
            f"reads {FORMAT}): run that version, or move the folder away to start this "
            "coordinator afresh"
        )
