"""What a member keeps on disk: log, state, and which group it belongs to.

coordinator/group       the group's id
coordinator/log/        the replicated log
coordinator/state/      the state machine and its snapshots
founded                 beside the folder: this node has founded a group and never will again
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from coordinator.consensus.entry import Stored
from coordinator.consensus.raft import found_group
from coordinator.state.state import SqliteState, recover_state
from coordinator.storage.log_store import DurableLog, set_aside
from mesh.errors import StorageDamaged, StorageError
from mesh.identity.private_file import read_private, write_private
from mesh.ids import NodeId
from mesh.wire.group import GROUP_BYTES

log = logging.getLogger(__name__)

FOLDER = "coordinator"
GROUP_FILE = "group"
FOUNDED_FILE = "founded"
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

    async def found(self, own: NodeId) -> None:
        """Make a group of one. Once in the life of a mesh. Raises StorageError."""
        group = secrets.token_hex(GROUP_BYTES)
        write_private(self._data_dir / FOUNDED_FILE, group.encode(), WHAT)
        store = DurableLog.at(self.path / "log")
        try:
            await asyncio.to_thread(store.load)
            hard, entries = found_group(own)
            await store.save(hard, entries, lost=0)
        finally:
            await store.close()
        self.join(group)
        log.info("founded the group of coordinators %s", group)

    async def open(self) -> Opened:
        """Check and open everything; what is damaged is set aside, and this member `lost`.

        Raises StorageError where a person must act.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.incoming.unlink(missing_ok=True)
        fresh = not (self.path / "log").exists()
        store, stored, whole = await self._open_log()
        lost = store.lost if whole and not fresh else secrets.randbits(62) + 1
        state = await recover_state(self.path / "state", stored.mark.index)
        last = stored.entries[-1].index if stored.entries else stored.mark.index
        if stored.mark.index <= state.applied <= last:
            if lost != store.lost:
                await store.save(None, (), lost=lost)
            return Opened(store, state, stored, lost)
        log.error(
            "log (to %d) and state (to %d) do not fit: both are set aside", last, state.applied
        )
        await store.close()
        await state.close()
        set_aside(self.path / "log")
        set_aside(self.path / "state")
        return await self.open()

    async def _open_log(self) -> tuple[DurableLog, Stored, bool]:
        """False: what was there is damaged and was set aside."""
        path = self.path / "log"
        store = DurableLog.at(path)
        try:
            return store, await asyncio.to_thread(store.load), True
        except StorageDamaged as damage:
            log.error("%s; it is set aside and fetched anew", damage)
            await store.close()
        set_aside(path)
        store = DurableLog.at(path)
        return store, await asyncio.to_thread(store.load), False
