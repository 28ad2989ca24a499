"""The replicated state as the rest of a coordinator uses it: applied in a thread, read in the loop.

The log is the durable point. SQLite runs with synchronous=NORMAL: after power loss it may have
forgotten the last entries, which `applied` then says; they are applied again from the log. So the
log may only be compacted up to a snapshot, which is durable.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from coordinator.consensus.entry import Entry
from coordinator.state.database import open_database, read_progress
from coordinator.state.generations import Generations
from coordinator.state.machine import Changes, Machine
from coordinator.state.rows import Rows
from coordinator.state.snapshots import Snapshot, copy_checked, list_snapshots, take_snapshot
from coordinator.storage.batches import Batches
from mesh.errors import StorageDamaged, StorageError

log = logging.getLogger(__name__)

Watcher = Callable[[Changes], None]
MAX_WATCHERS = 64


@dataclass(frozen=True, slots=True)
class _Apply:
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class _Install:
    path: Path
    sha256: str


_Result = tuple[list[bytes], Changes | None]


class SqliteState:
    """The state in a folder of its own. After StorageError from a write, open it anew."""

    def __init__(self, folder: Path) -> None:
        """Open it, or begin an empty one; checks everything and blocks.

        Raises StorageDamaged where it must be set aside (`recover_state` does), StorageError where
        a person must act. `close` it in any case.
        """
        self._files = Generations(folder)
        self._machine = Machine(self._files.current())
        self.rows = Rows(self._machine.path)
        """What was committed last, for reading in the loop. Ask for it anew after an await."""
        self._watchers: list[Watcher] = []
        self._batches: Batches[_Apply | _Install, _Result] = Batches(
            "coordinator-state", self._work
        )

    @property
    def applied(self) -> int:
        """Index of the last entry that was applied, 0 for none."""
        return self._machine.applied

    @property
    def term(self) -> int:
        """Of that entry."""
        return self._machine.term

    @property
    def level(self) -> int:
        """Of the commands that are understood (`coordinator.state.levels`)."""
        return self._machine.level

    async def apply(self, entries: Sequence[Entry]) -> list[bytes]:
        """Apply entries in order; calls that wait share a transaction.

        Gives an encoded Outcome each, b"" for what is no command or was applied before. Raises
        StorageError, also when an entry before these is missing.
        """
        outcomes, _ = await self._do(_Apply(tuple(entries)))
        return outcomes

    async def snapshot(self) -> Snapshot:
        """A file with the state as it is now or soon after. Applying goes on meanwhile."""
        return await asyncio.to_thread(take_snapshot, self._machine.path, self._files.path)

    def snapshots(self) -> list[Snapshot]:
        """Those that are kept, newest first. Raises StorageError."""
        try:
            return list_snapshots(self._files.path)
        except OSError as error:
            raise StorageError(f"{self._files.path} cannot be read ({error})") from None

    async def install(self, path: Path, sha256: str) -> None:
        """Replace the state by a snapshot, in one step. The file itself stays.

        Raises StorageDamaged when the file is not what the hash says or is inconsistent,
        StorageError when it is older than the state or of a newer level; the state then stays.
        """
        await self._do(_Install(path, sha256))

    def on_change(self, watcher: Watcher) -> Callable[[], None]:
        """Call it in the loop after each commit that changed rows. Returns how to end that."""
        if len(self._watchers) >= MAX_WATCHERS:
            raise StorageError(f"more than {MAX_WATCHERS} parts watch the state")
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher) if watcher in self._watchers else None

    async def close(self) -> None:
        """Finish what waits, then close. Safe to call twice."""
        await self._batches.close()
        self.rows.close()
        await asyncio.to_thread(self._machine.close)

    async def _do(self, job: _Apply | _Install) -> _Result:
        future = self._batches.submit(job)
        # Shielded: who waits may give up, but what was done is announced all the same.
        future.add_done_callback(self._announce)
        return await asyncio.shield(future)

    def _announce(self, future: asyncio.Future[_Result]) -> None:
        if future.cancelled() or future.exception() is not None:
            return
        changes = future.result()[1]
        if changes is None or not (changes.rows or changes.everything):
            return
        if changes.everything:
            self.rows.close()
            self.rows = Rows(self._machine.path)
        for watcher in list(self._watchers):
            try:
                watcher(changes)
            except Exception:
                log.exception("a watcher of the state failed")

    def _work(self, jobs: Sequence[_Apply | _Install]) -> list[_Result | Exception]:
        """In the writer's thread: runs of entries share a transaction, installing stands alone."""
        results: list[_Result | Exception] = []
        run: list[_Apply] = []
        for job in jobs:
            if isinstance(job, _Apply):
                run.append(job)
                continue
            results += [*self._apply(run), self._install(job)]
            run = []
        return results + self._apply(run)

    def _apply(self, run: list[_Apply]) -> list[_Result | Exception]:
        if not run:
            return []
        try:
            outcomes, changes = self._machine.apply([job.entries for job in run])
        except StorageError as error:
            return [error] * len(run)
        # The changes of all are told once, by the last.
        results: list[_Result | Exception] = [(each, None) for each in outcomes]
        results[-1] = (outcomes[-1], changes)
        return results

    def _install(self, job: _Install) -> _Result | Exception:
        target = self._files.next()
        try:
            copy_checked(job.path, job.sha256, target)
            self._check_newer(target)
            self._machine.close()
            self._files.switch(target)
            self._machine = Machine(target)
        except StorageError as error:
            self._files.clean(keep=self._machine.path)
            return error
        return [], Changes(self._machine.applied, everything=True)

    def _check_newer(self, target: Path) -> None:
        connection = open_database(target)
        try:
            applied = read_progress(connection).applied
        finally:
            connection.close()
        if applied < self._machine.applied:
            raise StorageError(
                f"the snapshot ends at {applied}, the state at {self._machine.applied}"
            )


async def recover_state(folder: Path, needed: int) -> SqliteState:
    """Open the state; set a damaged one aside, and fill up from our own snapshots up to `needed`.

    `needed` is the log's mark: where `applied` is still less afterwards, what is missing must be
    fetched from the leader and installed before anything is applied. Raises StorageError.
    """
    state = await asyncio.to_thread(_open_or_set_aside, folder)
    for snapshot in state.snapshots():
        if state.applied >= needed or snapshot.index <= state.applied:
            break
        try:
            await state.install(snapshot.path, snapshot.sha256)
        except StorageDamaged as damage:
            log.warning("%s", damage)
    return state


def _open_or_set_aside(folder: Path) -> SqliteState:
    try:
        return SqliteState(folder)
    except StorageDamaged as damage:
        log.warning("%s", damage)
    Generations(folder).set_aside()
    return SqliteState(folder)
