"""What a member keeps on disk: log, state, and which group it belongs to.

coordinator/group       the group's id
coordinator/log/        the replicated log
coordinator/state/      the state machine and its snapshots
coordinator/addresses   where the other members were last
coordinator/installing  the mark of a snapshot that is being put in the state's place
coordinator.founding/   a group that is being made; renamed to `coordinator` once it is whole
founded                 beside the folder: this node has founded a group and never will again
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from coordinator.consensus.entry import HardState, SnapshotMark, Stored
from coordinator.consensus.raft import found_group
from coordinator.group.installing import Installing
from coordinator.state.state import SqliteState, recover_state
from coordinator.storage.folder import sync_folder
from coordinator.storage.log_store import DurableLog, set_aside
from mesh.errors import StorageDamaged, StorageError
from mesh.identity.private_file import read_private, write_private
from mesh.ids import NodeId
from mesh.wire.group import GROUP_BYTES

log = logging.getLogger(__name__)

FOLDER = "coordinator"
GROUP_FILE = "group"
FOUNDED_FILE = "founded"
FOUNDING = "coordinator.founding"
INCOMING = "incoming-snapshot"
WHAT = "the file with the group's id"
_GROUP = re.compile(r"[0-9a-f]{32}")


@dataclass(slots=True)
class Opened:
    """A member's disk, ready for a core."""

    log: DurableLog
    state: SqliteState
    stored: Stored
    lost: int
    """Not 0: this member may have forgotten what it once promised, and must not be counted."""


class GroupFolder:
    """One node's folder for the group. Nothing is made before `open`."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self.path = data_dir / FOLDER

    @property
    def incoming(self) -> Path:
        """Where a snapshot on its way is put together."""
        return self.path / INCOMING

    def group(self) -> str | None:
        """The group this node belongs to; None before it belongs to any. Raises StorageError."""
        data = read_private(self.path / GROUP_FILE, WHAT)
        if data is None:
            return None
        group = data.decode("ascii", "replace").strip()
        if not _GROUP.fullmatch(group):
            raise StorageError(f"{self.path / GROUP_FILE} is damaged: move {self.path} away")
        return group

    def join(self, group: str) -> None:
        """Remember the group that took this node in. Raises StorageError."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self.path / GROUP_FILE, group.encode(), WHAT)

    def may_found(self) -> bool:
        """False once this node has founded a group, even if it lost everything about it since."""
        return read_private(self._data_dir / FOUNDED_FILE, WHAT) is None

    def end_founding(self) -> None:
        """Finish what a crash in the middle of `found` left. Raises StorageError."""
        making = self._data_dir / FOUNDING
        if not making.exists():
            return
        founded = read_private(self._data_dir / FOUNDED_FILE, WHAT)
        ready = read_private(making / GROUP_FILE, WHAT)
        try:
            if founded is None or founded != ready or self.group() is not None:
                shutil.rmtree(making)  # it was not decided yet, or a group took this node in
                return
            if self.path.exists():
                set_aside(self.path)
            making.rename(self.path)
            sync_folder(self._data_dir)
        except OSError as error:
            raise StorageError(f"{making} cannot become {self.path} ({error})") from None

    async def found(self, own: NodeId) -> None:
        """Make a group of one. Once in the life of a mesh. Raises StorageError.

        It counts from the moment `founded` is there; before that a crash leaves nothing.
        """
        self.end_founding()
        making = self._data_dir / FOUNDING
        store = DurableLog.at(making / "log")
        try:
            await asyncio.to_thread(store.load)
            hard, entries = found_group(own)
            await store.save(hard, entries, lost=0)
        finally:
            await store.close()
        group = secrets.token_hex(GROUP_BYTES)
        write_private(making / GROUP_FILE, group.encode(), WHAT)
        write_private(self._data_dir / FOUNDED_FILE, group.encode(), WHAT)
        self.end_founding()
        log.info("founded the group of coordinators %s", group)

    async def open(self) -> Opened:
        """Check and open everything; what is damaged is set aside, and this member `lost`.

        Raises StorageError where a person must act.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.incoming.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"{self.path} cannot be used ({error})") from None
        store, stored = await self._open_log()
        try:
            opened = await self._open_state(store, stored)
        except StorageError:
            await store.close()
            raise
        if opened is not None:
            return opened
        await store.close()
        set_aside(self.path / "log")
        set_aside(self.path / "state")
        return await self.open()

    async def _open_state(self, store: DurableLog, stored: Stored) -> Opened | None:
        """None where log and state do not fit together."""
        state = await recover_state(self.path / "state", stored.mark.index)
        try:
            stored = await self._finish_installing(store, stored, state)
            last = stored.entries[-1].index if stored.entries else stored.mark.index
            if stored.mark.index <= state.applied <= last:
                lost = store.lost
                if not lost and is_blank(stored):
                    lost = secrets.randbits(62) + 1
                    await store.save(None, (), lost=lost)
                return Opened(store, state, stored, lost)
        except StorageError:
            await state.close()
            raise
        await state.close()
        log.error("log (to %d) and state (at %d) do not fit: set aside", last, state.applied)
        return None

    async def _finish_installing(
        self, store: DurableLog, stored: Stored, state: SqliteState
    ) -> Stored:
        """A crash came after the state took a snapshot, before the log knew: tell the log."""
        installing = Installing(self.path)
        mark = installing.read()
        if mark is None:
            return stored
        if (mark.index, mark.term) == (state.applied, state.term):
            await store.compact(mark)
            stored = _after(stored, mark)
        installing.end()
        return stored

    async def _open_log(self) -> tuple[DurableLog, Stored]:
        path = self.path / "log"
        store = DurableLog.at(path)
        try:
            return store, await asyncio.to_thread(store.load)
        except StorageDamaged as damage:
            log.error("%s; it is set aside and fetched anew", damage)
            await store.close()
        set_aside(path)
        store = DurableLog.at(path)
        return store, await asyncio.to_thread(store.load)


def is_blank(stored: Stored) -> bool:
    """A log that never held anything: no member begins so, unless it lost what it had.

    It is judged by the content and not by whether the folder is there, since a crash may come
    between making the folder and writing the first word to it.
    """
    return stored.hard == HardState() and not stored.entries and not stored.mark.index


def _after(stored: Stored, mark: SnapshotMark) -> Stored:
    """What the log holds once it was compacted to the mark."""
    if mark.index <= stored.mark.index:
        return stored
    kept = tuple(entry for entry in stored.entries if entry.index > mark.index)
    at = next((entry.term for entry in stored.entries if entry.index == mark.index), None)
    return Stored(stored.hard, mark, kept if at == mark.term else ())
