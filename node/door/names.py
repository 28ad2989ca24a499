"""Who holds which name under a door's domain. Pure.

A name belongs to a node id. While its node is linked nobody else gets it, and for HOLD_SECONDS
after, so that a restart does not lose it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mesh.ids import NodeId
from mesh.wire.door import MAX_LABEL

ID_DIGITS = 16
"""Hex digits of a node's id that make its own label."""
MAX_NAMES = 1_024
"""Names that are held at once, those of nodes that are away included."""
MAX_NAMES_SOURCE = 32
"""Of these by nodes of one host: identities cost nothing, addresses do."""
HOLD_SECONDS = 3_600.0

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_ID_LABEL = re.compile(rf"[0-9a-f]{{{ID_DIGITS}}}")


@dataclass(slots=True)
class _Held:
    label: str
    source: str
    gone_at: float | None
    """When its node's last link ended; None while it is linked."""


class Names:
    """Labels and who holds them. One label a node."""

    def __init__(self) -> None:
        self._holders: dict[str, NodeId] = {}
        self._held: dict[NodeId, _Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    def holder(self, label: str) -> NodeId | None:
        """The node that holds a label, linked or not."""
        return self._holders.get(label)

    def claim(self, node: NodeId, label: str, *, source: str, now: float) -> str:
        """Give a linked node a label, "" for its own; what it held before is free again.

        Returns why not, "" when it was given.
        """
        label = label or own_label(node)
        self._expire(now)
        refusal = self._refusal(node, label, source)
        if not refusal:
            self.release(node)
            self._holders[label] = node
            self._held[node] = _Held(label, source, None)
        return refusal

    def label(self, node: NodeId) -> str:
        """What a node holds; "" for nothing."""
        held = self._held.get(node)
        return "" if held is None else held.label

    def park(self, node: NodeId, now: float) -> None:
        """The node's last link has ended: keep its name for a while."""
        held = self._held.get(node)
        if held is not None and held.gone_at is None:
            held.gone_at = now

    def release(self, node: NodeId) -> None:
        """The node's name is free."""
        held = self._held.pop(node, None)
        if held is not None:
            del self._holders[held.label]

    def _refusal(self, node: NodeId, label: str, source: str) -> str:
        if not is_label(label):
            return f"a label has 1 to {MAX_LABEL} of a-z, 0-9 and '-', no '-' first or last"
        if _ID_LABEL.fullmatch(label) and label != own_label(node):
            return "that label is another node's id"
        if self._holders.get(label, node) != node:
            return "another node holds that name"
        if node in self._held:
            return ""
        if len(self._held) >= MAX_NAMES:
            return "this door has all the names it can keep"
        if sum(held.source == source for held in self._held.values()) >= MAX_NAMES_SOURCE:
            return f"all nodes of one host may have {MAX_NAMES_SOURCE} names here"
        return ""

    def _expire(self, now: float) -> None:
        for node, held in list(self._held.items()):
            if held.gone_at is not None and now - held.gone_at >= HOLD_SECONDS:
                self.release(node)


def own_label(node: NodeId) -> str:
    """The label that is a node's without asking: nobody else is given it."""
    return node[:ID_DIGITS]


def is_label(text: str) -> bool:
    """Whether it may stand before the domain (RFC 1123 2.1), in lower case."""
    return _LABEL.fullmatch(text) is not None
