"""The durable log as the consensus group uses it: saves of one moment share one fsync."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from coordinator.consensus.entry import Entry, HardState, SnapshotMark, Stored
from coordinator.storage.batches import Batches
from coordinator.storage.folder import DiskFolder, Folder, sync_folder
from coordinator.storage.segments import SEGMENT_BYTES, Compact, Save, SegmentedLog
from mesh.errors import StorageError

KEPT_ASIDE = 3
"""Damaged folders that are kept for a person to look at."""


class DurableLog:
    """A `LogStore` in a folder of its own. After StorageError it stays failed: open a new one.

    A cancelled save may have been, or may still be, written.
    """

    def __init__(self, folder: Folder, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._log = SegmentedLog(folder, segment_bytes=segment_bytes)
        self._batches: Batches[Save | Compact, None] | None = None

    @classmethod
    def at(cls, path: Path) -> DurableLog:
        """The log in a folder on disk, which is made where it is missing. Raises StorageError."""
        return cls(DiskFolder(path))

    @property
    def size(self) -> int:
        """Bytes on disk, about: a reason to take a snapshot and compact."""
        return self._log.size

    @property
    def lost(self) -> int:
        """What `save` was last given as `lost`; 0 in a new log. Meaningful after `load`."""
        return self._log.lost

    def load(self) -> Stored:
        """What is on disk; cuts a torn end off and makes the rest durable. Once, and it blocks.

        Raises StorageDamaged where the folder must be set aside (`set_aside`) and its content
        fetched from the leader; StorageError where a person must act (newer format, disk full).
        """
        stored = self._log.load()
        self._batches = Batches("consensus-log", self._commit)
        return stored

    async def save(
        self, hard: HardState | None, entries: Sequence[Entry], *, lost: int | None = None
    ) -> None:
        """Write and fsync. `entries` replace everything stored from their first index on.

        `lost` is not 0 while this member must not be counted because it lost its state.
        """
        await self._started().submit(Save(hard, tuple(entries), lost))

    async def compact(self, mark: SnapshotMark) -> None:
        """Forget entries up to and with `mark.index`; a mark past the end empties the log.

        So does one whose term differs from the entry's at its index. A mark at or before the
        present one changes nothing. The snapshot itself must be durable before.
        """
        await self._started().submit(Compact(mark))

    async def close(self) -> None:
        """Finish the saves that wait, then close. Safe to call twice."""
        if self._batches is not None:
            await self._batches.close()
        await asyncio.to_thread(self._log.close)

    def _started(self) -> Batches[Save | Compact, None]:
        if self._batches is None:
            raise StorageError("the log was not loaded")
        return self._batches

    def _commit(self, jobs: Sequence[Save | Compact]) -> list[None]:
        self._log.commit(jobs)
        return [None] * len(jobs)


def set_aside(path: Path) -> Path:
    """Rename a damaged folder or file to `NAME.damaged-N`, keep the last three. Durable.

    Raises StorageError. The member that owned it must not vote as if it still knew: it joins anew.
    """
    try:
        earlier = sorted(
            int(number)
            for other in path.parent.glob(f"{path.name}.damaged-*")
            if (number := other.name.rpartition("-")[2]).isdigit()
        )
        target = path.with_name(f"{path.name}.damaged-{earlier[-1] + 1 if earlier else 1}")
        path.rename(target)
        for old in earlier[: 1 - KEPT_ASIDE]:
            _remove(path.with_name(f"{path.name}.damaged-{old}"))
        sync_folder(path.parent)
    except OSError as error:
        raise StorageError(f"{path} cannot be set aside ({error})") from None
    return target


def _remove(path: Path) -> None:
    if path.is_dir():
        for child in path.iterdir():
            _remove(child)
        path.rmdir()
    else:
        path.unlink()
