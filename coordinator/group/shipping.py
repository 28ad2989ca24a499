"""Snapshots on their way: bytes of a file to members that are far behind, or from the leader."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

from coordinator.consensus.entry import SnapshotMark
from coordinator.consensus.raft import Raft
from coordinator.consensus.ready import ChunkNeeded, ChunkReceived
from coordinator.group.installing import Installing
from coordinator.state.snapshots import MAX_SNAPSHOT, Snapshot
from coordinator.state.state import SqliteState
from mesh.errors import StorageDamaged, StorageError
from mesh.wire.consensus import MAX_CHUNK, SnapshotChunk

log = logging.getLogger(__name__)


class Shipping:
    """Reads and writes the files; the core decides which bytes go where."""

    def __init__(self, state: SqliteState, incoming: Path) -> None:
        self._state = state
        self._incoming = incoming
        self._installing = Installing(incoming.parent)
        self._digest = b""
        self._taking = asyncio.Lock()
        """One fresh snapshot at a time, however many members need one."""
        self.sent_bytes = 0
        self.installed = 0

    async def send(self, raft: Raft, needed: ChunkNeeded, done: Callable[[], object]) -> None:
        """Hand the wanted bytes to the core, or say that their snapshot is gone.

        Raises StorageError.
        """
        snapshot = await self._find(raft, needed.mark)
        if snapshot is None:
            raft.restart_snapshot(needed.to)
        else:
            mark = needed.mark or raft.mark_at(snapshot.index)
            data = await asyncio.to_thread(_read, snapshot.path, needed.offset)
            end = needed.offset + len(data) >= snapshot.size
            digest = bytes.fromhex(snapshot.sha256)
            raft.send_chunk(needed.to, SnapshotChunk(0, mark, digest, needed.offset, data, end))
            self.sent_bytes += len(data)
        done()

    async def _find(self, raft: Raft, mark: SnapshotMark | None) -> Snapshot | None:
        if mark is not None:
            kept = self._state.snapshots()
            return next((each for each in kept if each.index == mark.index), None)
        async with self._taking:
            for each in self._state.snapshots():
                if _covers(raft, each.index):
                    return each
            fresh = await self._state.snapshot()
        return fresh if _covers(raft, fresh.index) else None

    async def take(self, chunk: ChunkReceived) -> SnapshotMark | None:
        """Write bytes down; the mark once the file is whole."""
        if chunk.offset + len(chunk.data) > MAX_SNAPSHOT:
            raise StorageError("the leader sends a snapshot that is too large")
        await asyncio.to_thread(_write, self._incoming, chunk.offset, chunk.data)
        self._digest = chunk.digest
        return chunk.mark if chunk.done else None

    async def install(self, mark: SnapshotMark) -> bool:
        """Put the whole file in the state's place; False when it is not what was announced.

        Call `end_install` once the log is compacted to the mark. Raises StorageError.
        """
        await asyncio.to_thread(self._installing.begin, mark)
        try:
            await self._state.install(self._incoming, self._digest.hex())
        except StorageDamaged as damage:
            log.warning("a snapshot from the leader is damaged, it is fetched again: %s", damage)
            self._installing.end()
            return False
        finally:
            with contextlib.suppress(OSError):  # it is overwritten by the next
                self._incoming.unlink(missing_ok=True)
        self.installed += 1
        return True

    def end_install(self) -> None:
        """State and log agree again. Raises StorageError."""
        self._installing.end()


def _covers(raft: Raft, index: int) -> bool:
    """Whether the log can go on from a snapshot that ends there."""
    try:
        raft.mark_at(index)
    except ValueError:
        return False
    return True


def _read(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(MAX_CHUNK)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise StorageError(f"the snapshot {path} cannot be read ({error})") from None


def _write(path: Path, offset: int, data: bytes) -> None:
    try:
        with path.open("r+b" if offset else "wb") as file:
            file.seek(offset)
            file.write(data)
    except OSError as error:
        raise StorageError(f"a snapshot cannot be written to {path} ({error})") from None
