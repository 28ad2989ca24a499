"""Read a log folder and judge it: whole, torn at its unsynced end, or damaged. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from coordinator.consensus.entry import Entry, HardState, SnapshotMark
from coordinator.storage.folder import Folder
from coordinator.storage.layout import (
    HEAD_BYTES,
    MANIFEST,
    SYNCED,
    Manifest,
    decode_head,
    decode_manifest,
    decode_synced,
    segment_name,
    segment_numbers,
)
from coordinator.storage.record import BadRecord, Forgotten, Lost, encode_record, scan_records
from coordinator.storage.tail import Tail
from mesh.errors import StorageDamaged

_UNBEGUN = HEAD_BYTES + sum(
    len(encode_record(item, 0)[0])
    for item in (HardState(), Lost(0), Forgotten(SnapshotMark(), emptied=False))
)
"""Bytes of a first segment in which nothing was saved yet."""


@dataclass(frozen=True, slots=True)
class Found:
    """A log that can be gone on with."""

    tail: Tail
    manifest: Manifest
    last: bytes
    """The last segment without its torn end."""
    checksum: int
    """Of the last record."""
    synced: int
    """Bytes of the last segment that were surely synced."""
    highest: dict[int, int]
    """The highest entry index in each segment."""
    leftovers: tuple[str, ...]
    """Files that a crash left between two steps."""


class _Reader:
    """Goes through the segments in order."""

    def __init__(self, folder: Folder, manifest: Manifest) -> None:
        self._folder = folder
        self._manifest = manifest
        self.tail = Tail()
        self.highest: dict[int, int] = {}
        self.last = b""
        self.length = self.checksum = 0

    def read(self, number: int, synced: int | None) -> None:
        """Read one segment; after `synced` a bad record is a torn end. None: nowhere."""
        name = segment_name(number)
        path = f"{self._folder}/{name}"
        try:
            self.last = self._folder.read(name)
        except FileNotFoundError:
            raise StorageDamaged(path, "it is missing") from None
        self._check_head(number, path)
        try:
            self._replay(number)
        except BadRecord as bad:
            if synced is None or bad.offset < synced:
                raise StorageDamaged(path, f"{bad} at byte {bad.offset}") from None
        except ValueError as error:
            raise StorageDamaged(path, str(error)) from None
        if synced is not None and self.length < synced:
            raise StorageDamaged(path, f"it ends at byte {self.length}, not {synced}")

    def _check_head(self, number: int, path: str) -> None:
        head = decode_head(self.last, path)
        if (head.folder, head.number) != (self._manifest.folder, number):
            raise StorageDamaged(path, "it belongs elsewhere")
        if number > self._manifest.oldest:
            before = (head.previous_length, head.previous_checksum)
            if before != (self.length, self.checksum):
                raise StorageDamaged(path, "it does not follow the segment before it")
        self.length, self.checksum = HEAD_BYTES, head.previous_checksum

    def _replay(self, number: int) -> None:
        for item, end, checksum in scan_records(self.last, HEAD_BYTES, self.checksum):
            self.tail.remember(item)
            self.length, self.checksum = end, checksum
            if isinstance(item, Entry):
                self.highest[number] = max(item.index, self.highest.get(number, 0))


def read_log(folder: Folder) -> Found | None:
    """What is there; None for a folder in which no log was begun. Raises OSError, StorageError."""
    names = folder.names()
    numbers = segment_numbers(names)
    if MANIFEST not in names:
        _check_unbegun(folder, numbers)
        return None
    manifest = decode_manifest(folder.read(MANIFEST), f"{folder}/{MANIFEST}")
    if SYNCED not in names:
        raise StorageDamaged(f"{folder}/{SYNCED}", "it is missing")
    synced = decode_synced(folder.read(SYNCED))
    reader = _Reader(folder, manifest)
    for number in range(manifest.oldest, manifest.newest):
        reader.read(number, None)
    # A marker beyond the last segment comes from a crash between its sync and the manifest's.
    bound = synced.length if synced.number == manifest.newest else 0
    reader.read(manifest.newest, None if synced.number > manifest.newest else bound)
    _check_whole(reader, f"{folder}/{segment_name(manifest.newest)}")
    stray = [n for n in numbers if not manifest.oldest <= n <= manifest.newest]
    return Found(
        reader.tail,
        manifest,
        reader.last[: reader.length],
        reader.checksum,
        min(bound, reader.length),
        reader.highest,
        tuple(segment_name(number) for number in stray),
    )


def _check_whole(reader: _Reader, path: str) -> None:
    try:
        reader.tail.stored()
    except ValueError as error:
        raise StorageDamaged(path, str(error)) from None


def _check_unbegun(folder: Folder, numbers: list[int]) -> None:
    """Without a manifest there may only be what a crash left of the very first step."""
    if not numbers:
        return
    begun = numbers != [1] or len(folder.read(segment_name(1))) > _UNBEGUN
    if begun:
        raise StorageDamaged(f"{folder}/{MANIFEST}", "it is missing")
