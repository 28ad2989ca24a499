"""The log in segment files, one thread at a time: load and repair, append, compact.

The first failed write or fsync is the last: what the disk then holds is not known, and a second
fsync may report success for pages that were dropped (Rebello et al., USENIX ATC 2020).
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

from coordinator.consensus.entry import Entry, HardState, SnapshotMark, Stored
from coordinator.storage.folder import Folder, OpenFile, replace_file
from coordinator.storage.layout import (
    FOLDER_ID_BYTES,
    MANIFEST,
    SLOT_SPACING,
    SYNCED,
    Manifest,
    SegmentHead,
    Synced,
    encode_head,
    encode_manifest,
    encode_slot,
    segment_name,
)
from coordinator.storage.reading import Found, read_log
from coordinator.storage.record import Forgotten, Lost, Remembered, encode_record
from coordinator.storage.tail import Tail
from mesh.errors import StorageError

SEGMENT_BYTES = 8 * 1024 * 1024
"""A segment is closed before the record that would make it longer. Costs a start its memory."""


@dataclass(frozen=True, slots=True)
class Save:
    """Remember a term and vote, entries that replace all from their first index on, and `lost`.

    None: as before.
    """

    hard: HardState | None
    entries: Sequence[Entry]
    lost: int | None = None


@dataclass(frozen=True, slots=True)
class Compact:
    """Forget what a snapshot contains."""

    mark: SnapshotMark


class SegmentedLog:
    """The log of one folder. After StorageError it refuses everything; open the folder anew."""

    def __init__(self, folder: Folder, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._failure: StorageError | None = StorageError("the log was not loaded")
        self._tail = Tail()
        self._manifest = Manifest(b"", 1, 1)
        self._highest: dict[int, int] = {}
        """The highest entry index in each segment."""
        self._file: OpenFile | None = None
        self._marker: OpenFile | None = None
        self._slot = 0
        self._length = 0
        self._checksum = 0
        self._buffer = bytearray()

    @property
    def size(self) -> int:
        """Bytes on disk, about: a reason to compact."""
        count = self._manifest.newest - self._manifest.oldest
        return count * self._segment_bytes + self._length

    @property
    def lost(self) -> int:
        """As saved last; 0 in a new log."""
        return self._tail.lost

    def load(self) -> Stored:
        """Read everything, cut a torn end off, make the rest durable. Once.

        Raises StorageDamaged for what must be set aside, StorageError for what cannot be used.
        """
        try:
            found = read_log(self._folder)
            if found is None:
                self._found_log()
            else:
                self._adopt(found)
        except OSError as error:
            raise StorageError(f"the log in {self._folder} cannot be used ({error})") from None
        self._failure = None
        return self._tail.stored()

    def commit(self, jobs: Sequence[Save | Compact]) -> None:
        """Do all in order, then one fsync; what it returns from survives power loss.

        Raises StorageError, also for entries out of order; the log is of no more use then.
        """
        if self._failure is not None:
            raise self._failure
        try:
            for job in jobs:
                self._do(job)
            self._sync()
            if any(isinstance(job, Compact) for job in jobs):
                self._drop_segments()
        except (OSError, ValueError) as error:
            self._failure = StorageError(f"the log in {self._folder} failed ({error})")
            raise self._failure from None

    def close(self) -> None:
        """Sync the marker, so that damage done while nothing runs is known from a torn end."""
        if self._marker is not None and self._failure is None:
            with contextlib.suppress(OSError):  # the log itself was synced
                self._marker.sync()
        for file in (self._file, self._marker):
            if file is not None:
                file.close()
        self._file = self._marker = None
        self._failure = StorageError("the log is closed")

    def _do(self, job: Save | Compact) -> None:
        if isinstance(job, Save):
            if job.hard is not None and job.hard != self._tail.hard:
                self._remember(job.hard)
            if job.lost is not None and job.lost != self._tail.lost:
                self._remember(Lost(job.lost))
            for entry in job.entries:
                if entry.index > self._tail.last + 1:
                    raise ValueError(f"entry {entry.index} follows {self._tail.last}")
                self._remember(entry)
        elif job.mark.index > self._tail.mark.index:
            self._forget(self._tail.forgetting(job.mark))

    def _remember(self, item: Remembered) -> None:
        data, checksum = encode_record(item, self._checksum)
        if self._length + len(self._buffer) + len(data) > self._segment_bytes:
            self._rotate()
            data, checksum = encode_record(item, self._checksum)
        self._tail.remember(item)
        self._put(item, data, checksum)

    def _put(self, item: Remembered, data: bytes, checksum: int) -> None:
        self._buffer += data
        self._checksum = checksum
        if isinstance(item, Entry):
            number = self._manifest.newest
            self._highest[number] = max(item.index, self._highest.get(number, 0))

    def _forget(self, item: Forgotten) -> None:
        self._remember(item)
        if item.emptied:
            self._rotate()  # nothing before it matters now
            self._highest = dict.fromkeys(self._highest, 0)

    def _write(self) -> None:
        assert self._file is not None
        if self._buffer:
            self._file.write(self._length, bytes(self._buffer))
            self._length += len(self._buffer)
            self._buffer.clear()

    def _sync(self) -> None:
        assert self._file is not None and self._marker is not None
        if not self._buffer:
            return
        self._write()
        self._file.sync()
        self._mark_synced()

    def _mark_synced(self) -> None:
        assert self._marker is not None
        synced = Synced(self._manifest.newest, self._length)
        self._marker.write(self._slot * SLOT_SPACING, encode_slot(synced))
        self._slot = 1 - self._slot

    def _found_log(self) -> None:
        """Begin an empty log. The manifest comes last: until it is there, nothing is."""
        self._marker = self._folder.open(SYNCED)
        self._marker.write(2 * SLOT_SPACING - 1, b"\0")
        self._manifest = Manifest(secrets.token_bytes(FOLDER_ID_BYTES), 1, 1)
        self._begin_segment(SegmentHead(self._manifest.folder, 1, 0, 0))

    def _adopt(self, found: Found) -> None:
        """Go on with a log that was read.

        What lies after the marker is written once more: a failed fsync may have left it in memory
        only, marked as written.
        """
        self._tail, self._manifest = found.tail, found.manifest
        self._highest = found.highest
        self._marker = self._folder.open(SYNCED)
        self._file = self._folder.open(segment_name(found.manifest.newest))
        self._length, self._checksum = len(found.last), found.checksum
        self._file.truncate(self._length)
        self._file.write(found.synced, found.last[found.synced :])
        self._file.sync()
        self._mark_both()
        replace_file(self._folder, MANIFEST, encode_manifest(self._manifest))
        for name in found.leftovers:
            self._folder.remove(name)

    def _rotate(self) -> None:
        """Close the segment and begin the next, which starts with what is needed from before."""
        assert self._file is not None
        self._write()
        self._file.sync()
        self._file.close()
        previous, checksum = self._length, self._checksum
        number = self._manifest.newest + 1
        self._manifest = replace(self._manifest, newest=number)
        self._begin_segment(SegmentHead(self._manifest.folder, number, previous, checksum))

    def _begin_segment(self, head: SegmentHead) -> None:
        self._file = self._folder.open(segment_name(head.number))
        self._file.truncate(0)
        self._length, self._checksum = 0, head.previous_checksum
        self._buffer += encode_head(head)
        mark = Forgotten(self._tail.mark, emptied=False)
        for item in (self._tail.hard, Lost(self._tail.lost), mark):
            self._put(item, *encode_record(item, self._checksum))
        self._write()
        self._file.sync()
        self._mark_both()
        self._folder.sync()
        replace_file(self._folder, MANIFEST, encode_manifest(self._manifest))

    def _mark_both(self) -> None:
        """Move both slots up: an older one could call a torn end what is damage."""
        assert self._marker is not None
        self._mark_synced()
        self._mark_synced()
        self._marker.sync()

    def _drop_segments(self) -> None:
        """Remove the segments at the start that hold nothing after the mark."""
        oldest = self._manifest.oldest
        while oldest < self._manifest.newest:
            if self._highest.get(oldest, 0) > self._tail.mark.index:
                break
            oldest += 1
        gone = range(self._manifest.oldest, oldest)
        if not gone:
            return
        self._manifest = replace(self._manifest, oldest=oldest)
        replace_file(self._folder, MANIFEST, encode_manifest(self._manifest))
        for number in gone:
            self._folder.remove(segment_name(number))
            self._highest.pop(number, None)
