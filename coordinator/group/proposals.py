"""Who waits for what: proposals until they are applied, reads until their index is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from coordinator.consensus.entry import Entry
from coordinator.consensus.ready import Fate, Position, ReadResult
from mesh.errors import NoQuorum

JUMPED = "a snapshot jumped over the proposal: it was decided, what it gave is not known"
SUPERSEDED = "another leader took over before this was decided"


class Proposals:
    """Futures of this member's own proposals, by where they stand in the log.

    Bounded by the core, which takes at most MAX_PROPOSALS and MAX_READS.
    """

    def __init__(self) -> None:
        self._open: dict[tuple[int, int], asyncio.Future[bytes]] = {}
        self._decided: dict[int, asyncio.Future[bytes]] = {}
        """Those that will be applied, by index."""
        self._reads: dict[int, asyncio.Future[int]] = {}

    def expect(self, position: Position) -> asyncio.Future[bytes]:
        """What applying the proposal gives; NoQuorum or TimeoutError otherwise."""
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_note_failure)
        self._open[position.index, position.term] = future
        return future

    def expect_read(self, number: int) -> asyncio.Future[int]:
        """The index that a read must have applied; NoQuorum when the lead was lost."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_note_failure)
        self._reads[number] = future
        return future

    def settle(self, fates: Sequence[Fate]) -> None:
        """Note how proposals ended."""
        for fate in fates:
            future = self._open.pop((fate.position.index, fate.position.term), None)
            if future is None or future.done():
                continue
            if fate.outcome == "applied":
                self._decided[fate.position.index] = future
            elif fate.outcome == "superseded":
                future.set_exception(NoQuorum(SUPERSEDED))
            else:
                future.set_exception(TimeoutError(JUMPED))

    def applied(self, entries: Sequence[Entry], outcomes: Sequence[bytes]) -> None:
        """Hand out what applying gave."""
        for entry, outcome in zip(entries, outcomes, strict=True):
            future = self._decided.pop(entry.index, None)
            if future is None or future.done():
                continue
            if outcome:
                future.set_result(outcome)
            else:  # it is contained in a snapshot that was installed meanwhile
                future.set_exception(TimeoutError(JUMPED))

    def confirm(self, results: Sequence[ReadResult]) -> None:
        """Note which reads may go on."""
        for result in results:
            future = self._reads.pop(result.read, None)
            if future is None or future.done():
                continue
            if result.index is None:
                future.set_exception(NoQuorum("the lead was lost while reading"))
            else:
                future.set_result(result.index)


def _note_failure(future: asyncio.Future[Any]) -> None:
    """Who asked may have given up long ago: that nobody takes the error is no mistake then."""
    if not future.cancelled():
        future.exception()


class Progress:
    """Lets callers wait until an index is applied."""

    def __init__(self, applied: int) -> None:
        self.applied = applied
        self._waiting: dict[asyncio.Future[None], int] = {}
        """Who waits for which index; who gives up is taken off."""

    def reach(self, index: int) -> None:
        """Everything up to the index is applied."""
        self.applied = max(self.applied, index)
        for future, wanted in self._waiting.items():
            if wanted <= self.applied and not future.done():
                future.set_result(None)

    async def wait(self, index: int) -> None:
        """Return once the index is applied here."""
        if index <= self.applied:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[future] = index
        try:
            await future
        finally:
            del self._waiting[future]
