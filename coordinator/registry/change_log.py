"""Which node changed when: one row a node, in the order of its latest change. Pure and bounded.

A reader asks what changed since the version it has and gets the nodes, not a history: however slow
it is, the answer is never longer than the registry.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

from mesh.capability import Load
from mesh.ids import NodeId

MAX_DROPPED = 10_000
"""Nodes remembered as dropped; whoever asks from before one that was forgotten gets everything."""

Standing = Literal["seen", "lost", "gone"]
"""Seen by this registry, believed lost, or left in order."""


@dataclass(slots=True)
class Row:
    """What was last said of a node."""

    seq: int
    standing: Standing
    linked: bool
    load: Load
    said: int
    """Version in which anything but the load changed last."""
    loaded: int
    """Version in which the load changed last."""

    @property
    def version(self) -> int:
        return max(self.said, self.loaded)


class ChangeLog:
    """Counts versions from 1; 0 is before everything."""

    def __init__(self, *, most_dropped: int = MAX_DROPPED) -> None:
        self.version = 0
        self._rows: OrderedDict[NodeId, Row] = OrderedDict()
        self._dropped: OrderedDict[NodeId, int] = OrderedDict()
        self._most_dropped = most_dropped
        self._floor = 0

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, node: NodeId) -> Row | None:
        """The row of a node that is not dropped."""
        return self._rows.get(node)

    def put(self, node: NodeId, seq: int, standing: Standing, linked: bool, load: Load) -> bool:
        """Note what is known of a node. True when it is a change."""
        row = self._rows.get(node)
        if row is None:
            self.version += 1
            self._rows[node] = Row(seq, standing, linked, load, self.version, self.version)
            self._dropped.pop(node, None)
            return True
        said = (row.seq, row.standing, row.linked) != (seq, standing, linked)
        loaded_now = row.load != load
        if not said and not loaded_now:
            return False
        self.version += 1
        row.seq, row.standing, row.linked, row.load = seq, standing, linked, load
        if said:
            row.said = self.version
        if loaded_now:
            row.loaded = self.version
        self._rows.move_to_end(node)
        return True

    def drop(self, node: NodeId) -> bool:
        """Nothing is known of a node any more. True when something was."""
        if self._rows.pop(node, None) is None:
            return False
        self.version += 1
        self._dropped[node] = self.version
        while len(self._dropped) > self._most_dropped:
            _, self._floor = self._dropped.popitem(last=False)
        return True

    def covers(self, version: int) -> bool:
        """Whether `since` tells everything to a reader who has that version."""
        return self._floor <= version <= self.version

    def since(self, version: int) -> list[NodeId]:
        """The nodes that changed after a version, dropped ones first, the latest change last."""
        changed = []
        for node in reversed(self._rows):
            if self._rows[node].version <= version:
                break
            changed.append(node)
        gone = [node for node, at in self._dropped.items() if at > version]
        return gone + changed[::-1]
