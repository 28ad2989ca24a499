"""Puts together what a subscriber is told: the newest there is of each node that changed. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from coordinator.registry.change_log import ChangeLog
from mesh.capability import Load
from mesh.ids import NodeId
from mesh.wire.registry import MAX_DELTA, MAX_ROWS, Delta, Scope

_FRAME = 64
"""Bytes of a delta around its rows."""
_RECORD, _LOAD, _LOST, _DROPPED = 16, 64, 40, 24
"""Bytes of a row at most, a record's own left out."""

Remaining = Callable[[NodeId], tuple[float, bytes] | None]


class _Part:
    """Rows of one delta, as many as fit."""

    def __init__(self) -> None:
        self._room = MAX_DELTA - _FRAME
        self._records: list[tuple[float, bytes]] = []
        self._loads: list[tuple[NodeId, Load]] = []
        self._lost: list[tuple[NodeId, int]] = []
        self._dropped: list[NodeId] = []
        self.rows = 0

    @property
    def full(self) -> bool:
        """True when one more record might not fit."""
        return self._room < MAX_DELTA // 4 or self.rows >= MAX_ROWS

    def add(
        self,
        node: NodeId,
        record: tuple[float, bytes] | None,
        load: Load | None,
        lost: int | None,
    ) -> None:
        """A row; without anything to say of it the node is dropped."""
        self.rows += 1
        if record is not None:
            self._records.append(record)
            self._room -= len(record[1]) + _RECORD
        if load is not None:
            self._loads.append((node, load))
            self._room -= _LOAD
        if lost is not None:
            self._lost.append((node, lost))
            self._room -= _LOST
        if record is None and load is None and lost is None:
            self._dropped.append(node)
            self._room -= _DROPPED

    def delta(self, version: int | None) -> Delta:
        """The finished message."""
        records, loads = tuple(self._records), tuple(self._loads)
        return Delta(version, records, loads, tuple(self._lost), tuple(self._dropped))


def make_deltas(
    log: ChangeLog, nodes: Iterable[NodeId], since: int, scope: Scope, remaining: Remaining
) -> Iterator[Delta]:
    """What to tell of these nodes to a reader who has version `since`; the last one is marked.

    Made one after the other, so that a slow reader gets what is newest when its turn comes. What
    changes in between is told again: the version is that of the beginning.
    """
    version = log.version
    part = _Part()
    for node in nodes:
        _add(part, log, node, since, scope, remaining)
        if part.full:
            yield part.delta(None)
            part = _Part()
    yield part.delta(version)


def _add(
    part: _Part, log: ChangeLog, node: NodeId, since: int, scope: Scope, remaining: Remaining
) -> None:
    row = log.get(node)
    if row is None or (scope is Scope.LINKED and row.standing == "seen" and not row.linked):
        if since > 0:
            part.add(node, None, None, None)
        return
    if row.standing == "lost":
        part.add(node, None, None, row.seq)
        return
    record = remaining(node) if row.said > since else None
    load = row.load if row.loaded > since else None
    if record is not None or load is not None:
        part.add(node, record, load, None)
